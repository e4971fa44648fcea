//! Loop devices that go away by themselves when their file system is unmounted.

use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Dev, fstat},
    io::Errno,
    ioctl::{IntegerSetter, Ioctl, IoctlOutput, Opcode, Setter, ioctl},
};

const CONFIGURE: Opcode = 0x4C0A;
const SET_DIRECT_IO: Opcode = 0x4C08;
const GET_FREE: Opcode = 0x4C82;
const FLAG_READ_ONLY: u32 = 1;
const FLAG_AUTOCLEAR: u32 = 4;
const FLAG_DIRECT_IO: u32 = 16;
/// Somebody else may take the free device that we were told of.
const ATTEMPTS_MAX: usize = 64;

/// A device with its image. Keep it until the file system is mounted: an unused device clears itself.
#[derive(Debug)]
pub(crate) struct LoopDevice {
    open: File,
    pub(crate) path: PathBuf,
}

impl LoopDevice {
    pub(crate) fn number(&self) -> io::Result<Dev> {
        Ok(fstat(&self.open)?.st_rdev)
    }

    /// From here on the page cache keeps the content once, not twice. Waits until what it holds has been written.
    pub(crate) fn go_direct(&self) -> io::Result<()> {
        // SAFETY: the argument of LOOP_SET_DIRECT_IO is a number, passed as such.
        unsafe { ioctl(&self.open, IntegerSetter::<SET_DIRECT_IO>::new_usize(1)) }.map_err(io::Error::from)
    }
}

/// With `direct`, reads and writes go past the page cache from the beginning, if the file system of the image can.
pub(crate) fn attach(image: &Path, read_only: bool, direct: bool) -> io::Result<LoopDevice> {
    let backing = OpenOptions::new().read(true).write(!read_only).open(image)?;
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    let mode = if read_only { FLAG_READ_ONLY } else { 0 } | FLAG_AUTOCLEAR;
    let mut direct = if direct { FLAG_DIRECT_IO } else { 0 };
    for _ in 0..ATTEMPTS_MAX {
        // SAFETY: LOOP_CTL_GET_FREE takes no argument and returns a number.
        let number = unsafe { ioctl(&control, GetFree) }?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = OpenOptions::new().read(true).write(!read_only).open(&path)?;
        match configure(&device, &backing, mode | direct) {
            Ok(()) => return Ok(LoopDevice { open: device, path }),
            Err(Errno::BUSY) => {}
            // The file system of the image has no direct I/O: the page cache keeps the content twice.
            Err(Errno::INVAL) if direct != 0 => direct = 0,
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other("no free loop device"))
}

fn configure(device: &File, backing: &File, flags: u32) -> rustix::io::Result<()> {
    let config = LoopConfig {
        backing: backing.as_raw_fd().unsigned_abs(),
        block_size: 0,
        info: LoopInfo { flags, ..LoopInfo::default() },
        reserved: [0; 8],
    };
    // SAFETY: LOOP_CONFIGURE reads a `struct loop_config`, whose layout `LoopConfig` has.
    unsafe { ioctl(device, Setter::<CONFIGURE, LoopConfig>::new(config)) }
}

/// `struct loop_info64` of `linux/loop.h`.
#[repr(C)]
struct LoopInfo {
    numbers: [u64; 5],
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

impl Default for LoopInfo {
    fn default() -> Self {
        Self {
            numbers: [0; 5],
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: 0,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        }
    }
}

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
struct LoopConfig {
    backing: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

struct GetFree;

// SAFETY: the kernel ignores the argument and writes nothing; its return value is the device's number.
unsafe impl Ioctl for GetFree {
    type Output = i32;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        GET_FREE
    }
    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::null_mut()
    }
    unsafe fn output_from_ptr(
        output: IoctlOutput,
        _: *mut std::ffi::c_void,
    ) -> rustix::io::Result<Self::Output> {
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layouts_are_the_kernels() {
        assert_eq!((size_of::<LoopInfo>(), size_of::<LoopConfig>()), (232, 304));
    }
}
