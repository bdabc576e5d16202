//! The memory of one isolate: address space reserved once, made usable in steps, given back by unmapping.

use std::io;
use std::ptr::NonNull;

/// Memory becomes usable in steps of this many bytes.
const STEP_BYTES: usize = 1 << 20;

/// A range of address space. It holds no value of Rust's.
pub(crate) struct Arena {
    base: NonNull<u8>,
    reserved_bytes: usize,
}

impl Arena {
    /// Reserves address space. Nothing of it is usable yet.
    pub(crate) fn reserve(bytes: usize) -> io::Result<Arena> {
        let reserved_bytes = bytes.next_multiple_of(STEP_BYTES);
        // SAFETY: a new private mapping at an address of the system's choice touches no existing memory.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                reserved_bytes,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast::<u8>()).expect("the system never maps the first page");
        Ok(Arena {
            base,
            reserved_bytes,
        })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) fn start(&self) -> usize {
        self.base.as_ptr() as usize
    }

    pub(crate) fn end(&self) -> usize {
        self.start() + self.reserved_bytes
    }
}

impl Arena {
    /// How many bytes before this end the system holds in memory.
    pub(crate) fn resident_bytes(&self, end: usize) -> usize {
        let page_bytes = page_bytes();
        let bytes = end.saturating_sub(self.start()).min(self.reserved_bytes);
        let mut pages = vec![0_u8; bytes.div_ceil(page_bytes)];
        // SAFETY: the range lies in the arena, and there is a byte for each of its pages.
        let answer =
            unsafe { libc::mincore(self.base.as_ptr().cast(), bytes, pages.as_mut_ptr().cast()) };
        if answer != 0 {
            return bytes;
        }
        pages.iter().filter(|page| **page & 1 != 0).count() * page_bytes
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the range is ours alone. The isolate drops its arena last, and no other code keeps a pointer into it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.reserved_bytes) };
    }
}

/// Makes memory usable from `committed_end` to at least `end`, and returns the new end. `None` if the system refuses.
///
/// # Safety
///
/// Both ends lie in one arena, whose last byte is before `reserved_end`.
pub(crate) unsafe fn commit(
    committed_end: usize,
    end: usize,
    reserved_end: usize,
) -> Option<usize> {
    let new_end = end.checked_next_multiple_of(STEP_BYTES)?.min(reserved_end);
    // SAFETY: the range lies in an arena, in which nothing is usable yet beyond `committed_end`.
    let answer = unsafe {
        libc::mprotect(
            committed_end as *mut libc::c_void,
            new_end - committed_end,
            libc::PROT_READ | libc::PROT_WRITE,
        )
    };
    (answer == 0).then_some(new_end)
}

/// The size of a page of memory.
pub(crate) fn page_bytes() -> usize {
    // SAFETY: asks the system for a number.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).expect("a page has a size")
}
