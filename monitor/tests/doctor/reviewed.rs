//! What a review found: mistakes that were missed, and what was called one and is none.

use super::mended::found;

#[test]
fn a_tag_that_must_be_set_is_one_and_what_is_built_here_is_never_pulled() {
    let text = "services:\n  api:\n    image: registry.example.com/api:${TAG_OF_TEST:?set it}\n";
    assert_eq!(found(&[("compose.yml", text)]), Vec::<String>::new());
    let empty = text.replacen(":${TAG_OF_TEST:?set it}", "${TAG_OF_TEST-}", 1);
    assert_eq!(found(&[("compose.yml", &empty)]), ["3 image-not-pinned"]);

    let text =
        "services:\n  web: { build: ., image: myapp }\n  worker: { image: 'myapp:latest' }\n  other: { image: your }\n";
    let dockerfile = ("Dockerfile", "FROM alpine:3.20\nCMD [\"/web\"]\n");
    assert_eq!(found(&[("compose.yml", text), dockerfile]), ["4 image-not-pinned"]);
}
