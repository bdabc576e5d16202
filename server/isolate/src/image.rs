//! The image: a copy of the used part of the arena, and the way back to it.
//!
//! A small image is copied back whole. A large one is a file in memory that the arena maps privately. It shares the
//! pages that no call has written to, and the system names the written ones (`dirty.rs`). Where it does not, pages are
//! compared.

use std::ptr::NonNull;

use crate::dirty::SharedImage;

/// Pages beyond the image that stay in memory for the next call.
const KEPT_BYTES: usize = 1 << 20;

/// An image up to this size is copied whole.
const WHOLE_COPY_BYTES_MAX: usize = 1 << 20;

enum Content {
    Copied(Box<[u8]>),
    Shared(SharedImage),
}

pub(crate) struct Image {
    content: Content,
    page_bytes: usize,
}

impl Image {
    /// Takes the first bytes of an arena, which are whole pages.
    ///
    /// # Safety
    ///
    /// They are usable, and no other code reads or writes them meanwhile.
    pub(crate) unsafe fn take(base: NonNull<u8>, bytes: usize, page_bytes: usize) -> Image {
        let is_large = bytes > WHOLE_COPY_BYTES_MAX;
        // SAFETY: as the caller promises. The slice is gone when the copy is made.
        let content = unsafe {
            let shared = is_large.then(|| SharedImage::take(base, bytes, page_bytes));
            match shared.flatten() {
                Some(shared) => Content::Shared(shared),
                None => {
                    let used = std::slice::from_raw_parts(base.as_ptr(), bytes);
                    Content::Copied(used.into())
                }
            }
        };
        Image {
            content,
            page_bytes,
        }
    }

    fn as_slice(&self) -> &[u8] {
        match &self.content {
            Content::Copied(copy) => copy,
            Content::Shared(shared) => shared.as_slice(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.as_slice().len()
    }

    /// The image's memory beside the arena, in bytes.
    pub(crate) fn own_bytes(&self) -> usize {
        match &self.content {
            Content::Copied(copy) => copy.len(),
            Content::Shared(shared) => shared.dirty_bytes(),
        }
    }

    /// Puts the image back.
    ///
    /// # Safety
    ///
    /// The base is that of the arena the image was taken of, and the engine is not running.
    pub(crate) unsafe fn restore(&mut self, base: NonNull<u8>) {
        let page_bytes = self.page_bytes;
        // SAFETY: as the caller promises. The arena is usable at least as far as the image goes, and is no memory of
        // Rust's.
        unsafe {
            match &mut self.content {
                Content::Shared(shared) => shared.restore(base),
                Content::Copied(copy) if copy.len() <= WHOLE_COPY_BYTES_MAX => base
                    .as_ptr()
                    .copy_from_nonoverlapping(copy.as_ptr(), copy.len()),
                Content::Copied(copy) => {
                    for (page, content) in copy.chunks(page_bytes).enumerate() {
                        let target = base.as_ptr().add(page * page_bytes);
                        if std::slice::from_raw_parts(target, content.len()) != content {
                            target.copy_from_nonoverlapping(content.as_ptr(), content.len());
                        }
                    }
                }
            }
        }
    }

    /// The bytes of the arena, in whole pages, that differ from the image.
    ///
    /// # Safety
    ///
    /// As for [`Image::restore`].
    pub(crate) unsafe fn changed_bytes(&self, base: NonNull<u8>) -> usize {
        // SAFETY: the arena is usable as far as the image goes; the slice is gone when this function returns.
        let now = unsafe { std::slice::from_raw_parts(base.as_ptr(), self.bytes()) };
        let pages = now
            .chunks(self.page_bytes)
            .zip(self.as_slice().chunks(self.page_bytes));
        pages.filter(|(now, image)| now != image).count() * self.page_bytes
    }
}

/// Gives back the pages that a call took beyond the image, except for the first megabyte.
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
