//! Dynos that fork against their limit.

use crate::site::Site;

/// Forks until it can't, goes on until it is left one core, stops, and waits until it has all again.
const BOMB: &str = r"
import os, signal, time
all = len(os.sched_getaffinity(0))
children = []
def fork():
    try:
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
    except BlockingIOError:
        return
while len(os.sched_getaffinity(0)) == all: fork()
print(len(os.sched_getaffinity(0)), 'left', flush=True)
for child in children: os.kill(child, signal.SIGKILL)
while len(os.sched_getaffinity(0)) < all: time.sleep(0.05)
print('all again', flush=True)
";

#[tokio::test(flavor = "multi_thread")]
async fn real_a_fork_bomb_is_left_one_core_until_it_stops() {
    // There is nothing to leave to the others on a machine of one.
    if std::thread::available_parallelism().unwrap().get() > 1 {
        let site = Site::open().await;
        let script = format!("exec python3 -c \"{BOMB}\"");
        assert_eq!(site.bash(&script).await, "1 left\nall again\n");
    }
}
