//! The priority that the system gives a thread.

#[cfg(target_os = "linux")]
mod of_system {
    use rustix::process::{Pid, getpriority_process, setpriority_process};
    use rustix::thread::gettid;

    /// Added to the niceness of a thread whose job takes long: it gets about a tenth of the time of others beside it.
    const NICER_BY: i32 = 10;

    /// A thread, as the system knows it.
    #[derive(Clone, Copy)]
    pub struct SystemThread(Pid);

    impl SystemThread {
        /// This thread.
        pub fn current() -> SystemThread {
            SystemThread(gettid())
        }

        /// Lowers its priority for good: raising it again takes rights that a server does not have. False if the system
        /// refuses.
        pub fn lower(self) -> bool {
            let usual = getpriority_process(Some(self.0));
            usual.is_ok_and(|usual| {
                setpriority_process(Some(self.0), usual.saturating_add(NICER_BY)).is_ok()
            })
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod of_system {
    /// A thread. Systems other than Linux know priorities of processes alone.
    #[derive(Clone, Copy)]
    pub struct SystemThread;

    impl SystemThread {
        /// This thread.
        pub fn current() -> SystemThread {
            SystemThread
        }

        /// Does nothing.
        pub fn lower(self) -> bool {
            false
        }
    }
}

pub(super) use of_system::SystemThread;
