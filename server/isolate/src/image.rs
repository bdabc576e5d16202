//! The image: a copy of the used part of the arena, and the way back to it.

use std::ptr::NonNull;

/// Pages beyond the image that stay in memory for the next call.
const KEPT_BYTES: usize = 1 << 20;

/// Above this, only pages that differ are written.
const WHOLE_COPY_BYTES_MAX: usize = 1 << 20;

pub(crate) struct Image {
    copy: Box<[u8]>,
    page_bytes: usize,
}

impl Image {
    /// Copies the first bytes of an arena.
    ///
    /// # Safety
    ///
    /// They are usable, and nobody writes to them meanwhile.
    pub(crate) unsafe fn take(base: NonNull<u8>, bytes: usize, page_bytes: usize) -> Image {
        // SAFETY: what the caller promises. The slice is gone when this function returns.
        let copy = unsafe { std::slice::from_raw_parts(base.as_ptr(), bytes) }.into();
        Image { copy, page_bytes }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.copy.len()
    }

    /// Puts the image back.
    ///
    /// # Safety
    ///
    /// The base is that of the arena the image was taken of, and the engine is not running.
    pub(crate) unsafe fn restore(&self, base: NonNull<u8>) {
        if self.copy.len() <= WHOLE_COPY_BYTES_MAX {
            // SAFETY: the arena is usable at least as far as the image goes, and is no memory of Rust's.
            unsafe {
                base.as_ptr()
                    .copy_from_nonoverlapping(self.copy.as_ptr(), self.copy.len());
            }
            return;
        }
        for (page, content) in self.copy.chunks(self.page_bytes).enumerate() {
            // SAFETY: as above; one page at a time.
            unsafe {
                let target = base.as_ptr().add(page * self.page_bytes);
                if std::slice::from_raw_parts(target, content.len()) != content {
                    target.copy_from_nonoverlapping(content.as_ptr(), content.len());
                }
            }
        }
    }

    /// Whether the arena holds the image.
    ///
    /// # Safety
    ///
    /// As for [`Image::restore`].
    pub(crate) unsafe fn is_in(&self, base: NonNull<u8>) -> bool {
        // SAFETY: the arena is usable as far as the image goes; the slice is gone when this function returns.
        unsafe { std::slice::from_raw_parts(base.as_ptr(), self.copy.len()) == &*self.copy }
    }
}

/// Gives back what a call took beyond the image, except for the first megabyte.
///
/// # Safety
///
/// Image end and peak lie in one arena, and nothing beyond the image is in use.
pub(crate) unsafe fn give_back(image_end: usize, peak: usize, page_bytes: usize) {
    let start = (image_end + KEPT_BYTES).next_multiple_of(page_bytes);
    let end = peak.next_multiple_of(page_bytes);
    if start < end {
        // SAFETY: the range is whole pages of the arena in which nothing is in use.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
    }
}
