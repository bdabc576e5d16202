//! A file by which a test, in whatever language, holds up another process or makes it fail.

use std::path::PathBuf;
use std::time::Duration;

/// How often the file is read while it holds.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Reads the file each time a caller wants to pass.
pub struct Switch {
    file: PathBuf,
}

impl Switch {
    /// A switch that is set by writing to `file`. Without the file every caller passes.
    pub fn new(file: PathBuf) -> Switch {
        Switch { file }
    }

    /// Returns at once, or when the file no longer says `hold`. While it does, a file beside it with the extension
    /// `held` says that a caller waits.
    ///
    /// # Panics
    ///
    /// When the file says `fail`.
    pub fn pass(&self) {
        loop {
            match self.word().as_str() {
                "hold" => {
                    std::fs::write(self.file.with_extension("held"), "")
                        .expect("the test's folder is writable");
                    std::thread::sleep(LOOK_EVERY);
                }
                "fail" => panic!("the test wants this to fail"),
                _ => return,
            }
        }
    }

    fn word(&self) -> String {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        text.trim().to_string()
    }
}
