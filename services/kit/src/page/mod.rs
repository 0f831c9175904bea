//! The look of pages.
