//! Presets of the webhook against what each receiver documents.
