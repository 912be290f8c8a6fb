//! The example of the documentation is the one that runs.

#[path = "../examples/thermometers.rs"]
#[allow(dead_code, reason = "its `main` is run by cargo")]
mod thermometers;

const DOCUMENT: &str = include_str!("../../../docs/library.md");
const EXAMPLE: &str = include_str!("../examples/thermometers.rs");

#[test]
fn the_example_gives_what_it_says() {
    let mut minutes = thermometers::per_minute().unwrap();
    minutes.sort_by(|one, other| one.0.total_cmp(&other.0));
    // 20 and 23 degrees, then a degree more each minute.
    let expected = [21.5, 22.5, 23.5].map(|celsius: f64| (celsius * 1.8 + 32.0, 3.0));
    assert_eq!(minutes, expected);
}

#[test]
fn the_document_shows_the_example() {
    let (_, rest) = DOCUMENT
        .split_once("```rust\n//! A pipeline")
        .expect("it is there");
    let (shown, _) = rest.split_once("```").expect("it ends");
    assert_eq!(format!("//! A pipeline{shown}"), EXAMPLE);
}
