//! The system calls that a dyno may make.
//!
//! Three classes. **Allowed**: what programs need. **Denied** with EPERM: what would make namespaces, mount, trace,
//! load code into the kernel, set clocks, or reach keys. Everything else, above all what future kernels add, answers
//! ENOSYS, so that libraries take their older path.

use serde_json::{Value, json};

/// Flags of `clone` that make namespaces (mount, cgroup, uts, ipc, user, pid, net; time can't be asked for there).
const CLONE_NAMESPACES: u64 = 0x7E02_0000;
/// Socket families that apps need. Only to ask for another one makes the kernel load the module that has it, and
/// netlink families beside the routes' tell of the host: its devices, its firewall, its audit.
const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
/// Protocols of the internet families: whatever suits the type of socket, and by name. 262 is multipath TCP, which Go
/// listens with.
const PROTOCOLS: [i32; 6] =
    [libc::IPPROTO_IP, libc::IPPROTO_ICMP, libc::IPPROTO_TCP, libc::IPPROTO_UDP, libc::IPPROTO_ICMPV6, 262];
/// Those that some program may ask for and that are modules; whatever is in neither list answers ENOSYS.
const PROTOCOLS_DENIED: [i32; 4] =
    [libc::IPPROTO_DCCP, libc::IPPROTO_SCTP, libc::IPPROTO_UDPLITE, libc::IPPROTO_RAW];
/// `personality` values that change nothing dangerous: Linux, 16-byte stacks, UNAME26, both, and "tell me".
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

pub(crate) fn profile() -> Value {
    let mut rules = vec![
        rule("SCMP_ACT_ALLOW", &words(ALLOWED), None),
        json!({ "names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [masked(CLONE_NAMESPACES, 0)] }),
        rule("SCMP_ACT_ERRNO", &words(DENIED), Some(libc::EPERM)),
    ];
    rules.extend(namespace_denials());
    rules.extend(sockets());
    rules.extend(PERSONALITIES.map(|value| {
        json!({ "names": ["personality"], "action": "SCMP_ACT_ALLOW",
                "args": [{ "index": 0, "value": value, "op": "SCMP_CMP_EQ" }] })
    }));
    json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": libc::ENOSYS, "syscalls": rules })
}

/// `clone` with any of the namespace flags is refused with EPERM, one rule a flag. (`clone3` hides its flags behind a
/// pointer: it answers ENOSYS, and every C library then uses `clone`.)
fn namespace_denials() -> Vec<Value> {
    (0..u64::BITS)
        .map(|bit| 1u64 << bit)
        .filter(|flag| CLONE_NAMESPACES & flag != 0)
        .map(|flag| {
            json!({ "names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::EPERM,
                    "args": [masked(flag, flag)] })
        })
        .collect()
}

fn sockets() -> Vec<Value> {
    let allow =
        |name: &str, args: Value| json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": args });
    let refuse = |name: &str, errno: i32, args: Value| json!({ "names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": args });
    let is = |index: u32, value: i32| json!({ "index": index, "value": value, "op": "SCMP_CMP_EQ" });
    let compared = |index: u32, op: &str, value: i32| json!({ "index": index, "value": value, "op": op });
    let mut rules = vec![
        allow("socket", json!([is(0, libc::AF_UNIX)])),
        allow("socket", json!([is(0, libc::AF_NETLINK), is(2, libc::NETLINK_ROUTE)])),
        refuse(
            "socket",
            libc::EPROTONOSUPPORT,
            json!([is(0, libc::AF_NETLINK), compared(2, "SCMP_CMP_NE", libc::NETLINK_ROUTE)]),
        ),
        refuse("socket", libc::EAFNOSUPPORT, json!([compared(0, "SCMP_CMP_GT", libc::AF_NETLINK)])),
        allow("socketpair", json!([is(0, libc::AF_UNIX)])),
        refuse("socketpair", libc::EOPNOTSUPP, json!([compared(0, "SCMP_CMP_NE", libc::AF_UNIX)])),
    ];
    let others = (0..libc::AF_NETLINK).filter(|family| !FAMILIES.contains(family));
    rules.extend(others.map(|family| refuse("socket", libc::EAFNOSUPPORT, json!([is(0, family)]))));
    for family in [libc::AF_INET, libc::AF_INET6] {
        rules.extend(PROTOCOLS.map(|protocol| allow("socket", json!([is(0, family), is(2, protocol)]))));
        rules.extend(PROTOCOLS_DENIED.map(|protocol| {
            refuse("socket", libc::EPROTONOSUPPORT, json!([is(0, family), is(2, protocol)]))
        }));
    }
    rules
}

/// "The first argument, masked, is `value`". The container library (0.7) takes mask and value the other way round than
/// the runtime specification has them; a real-container test would notice if it changed its mind.
fn masked(mask: u64, value: u64) -> Value {
    json!({ "index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": value, "valueTwo": mask })
}

fn rule(action: &str, names: &[&str], errno: Option<i32>) -> Value {
    let mut rule = json!({ "names": names, "action": action });
    if let Some(errno) = errno {
        rule["errnoRet"] = json!(errno);
    }
    rule
}

fn words(list: &'static str) -> Vec<&'static str> {
    list.split_whitespace().collect()
}

const ALLOWED: &str = "
    accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown chown32
    clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64
    close close_range connect copy_file_range creat dup dup2 dup3
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old
    eventfd eventfd2 execve execveat exit exit_group
    faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32
    fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64
    fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake
    futimesat get_mempolicy get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid
    geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority
    getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid
    gettimeofday getuid getuid32 getxattr getxattrat
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
    io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill
    landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen
    listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64
    madvise map_shadow_stack mbind membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2
    mlockall mmap mmap2 modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64
    mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
    name_to_handle_at nanosleep newfstatat _newselect open openat openat2
    pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl
    pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2
    read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr
    removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending
    rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler
    sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg
    sendto set_mempolicy set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid
    setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid
    setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt
    shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn splice stat stat64
    statfs statfs64 statmount statx symlink symlinkat sync sync_file_range sync_file_range2 syncfs sysinfo
    tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
    timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill
    truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes
    vfork vmsplice wait4 waitid waitpid write writev
";

const DENIED: &str = "
    acct add_key bpf chroot clock_adjtime clock_adjtime64 clock_settime clock_settime64 create_module delete_module
    fanotify_init finit_module fsconfig fsmount fsopen fspick get_kernel_syms init_module io_uring_enter
    io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie migrate_pages
    mount mount_setattr move_mount move_pages nfsservctl open_by_handle_at open_tree perf_event_open pidfd_getfd
    pivot_root process_madvise process_vm_readv process_vm_writev ptrace query_module quotactl quotactl_fd reboot
    request_key set_mempolicy_home_node setdomainname sethostname setns settimeofday stime swapoff swapon syslog
    umount umount2 unshare uselib userfaultfd vhangup vm86 vm86old
";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nothing_is_both_allowed_and_denied_or_listed_twice() {
        let all: Vec<_> = words(ALLOWED).into_iter().chain(words(DENIED)).collect();
        let once: HashSet<_> = all.iter().collect();
        assert_eq!(all.len(), once.len());
        assert!(!once.contains(&"clone3"), "its flags can't be seen");
        assert!(!once.contains(&"clone"), "it has rules of its own");
    }
}
