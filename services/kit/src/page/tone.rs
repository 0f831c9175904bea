//! How a state looks: a shape and a colour that always go with its word.

use super::html::Html;

/// The six looks of a state. Shape and colour differ together, so that neither is needed to tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tone {
    /// A disc with a tick: it works.
    Good,
    /// A triangle: it works, but.
    Warn,
    /// A square with a cross: it does not work.
    Bad,
    /// A ring half full: on its way.
    Busy,
    /// A dashed ring with a question mark: we do not know.
    Blind,
    /// A ring with a bar: it rests, as it should.
    Off,
}

impl Tone {
    /// Every tone.
    pub const ALL: [Self; 6] = [Self::Good, Self::Warn, Self::Bad, Self::Busy, Self::Blind, Self::Off];

    /// Returns the class name in the style sheet and the sprite.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Busy => "busy",
            Self::Blind => "blind",
            Self::Off => "off",
        }
    }

    /// Returns the character that stands for it where no picture can: a window's title.
    pub fn sign(self) -> char {
        match self {
            Self::Good => '✓',
            Self::Warn => '▲',
            Self::Bad => '✕',
            Self::Busy => '◐',
            Self::Blind => '?',
            Self::Off => '–',
        }
    }

    /// Returns the mark. It is hidden from screen readers: the word beside it says the same.
    pub fn mark(self) -> Html {
        let name = self.as_str();
        Html::of_escaped(format!(
            r##"<svg class="mark {name}" viewBox="0 0 16 16" aria-hidden="true"><use href="#mark-{name}"/></svg>"##
        ))
    }

    /// Returns the symbols that [`Tone::mark`] refers to, once a page.
    pub(super) fn sprite() -> Html {
        let symbols = Self::ALL.map(|tone| {
            format!(r#"<symbol id="mark-{}" viewBox="0 0 16 16">{}</symbol>"#, tone.as_str(), tone.shape())
        });
        let symbols = symbols.concat();
        Html::of_escaped(format!(r#"<svg class="sprite" width="0" height="0" aria-hidden="true">{symbols}</svg>"#))
    }

    /// Returns the mark as a file of its own, with fixed colours: a page's icon.
    pub(super) fn icon(self) -> String {
        let (fill, cut) = (self.fill(), "#fff");
        let shape = self.shape().replace("currentColor", fill).replace("var(--cut)", cut);
        format!(r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">{shape}</svg>"#)
    }

    /// Returns a colour on which white text has a contrast of at least 4.5:1 (WCAG 2.2, 1.4.3).
    pub(super) fn fill(self) -> &'static str {
        match self {
            Self::Good => "#1c7c4c",
            Self::Warn => "#946200",
            Self::Bad => "#c0312b",
            Self::Busy => "#2264b4",
            Self::Blind => "#6a5aa8",
            Self::Off => "#5c6670",
        }
    }

    fn shape(self) -> &'static str {
        match self {
            Self::Good => {
                r#"<circle cx="8" cy="8" r="7" fill="currentColor"/><path d="M4.8 8.3l2.2 2.2 4.2-4.6" fill="none" stroke="var(--cut)" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round"/>"#
            }
            Self::Warn => {
                r#"<path d="M8 1.2a1 1 0 0 1 .88.52l6.2 11.3A1 1 0 0 1 14.2 14.5H1.8a1 1 0 0 1-.88-1.48l6.2-11.3A1 1 0 0 1 8 1.2z" fill="currentColor"/><path d="M8 5.6v4" stroke="var(--cut)" stroke-width="1.7" stroke-linecap="round"/><circle cx="8" cy="12" r="1" fill="var(--cut)"/>"#
            }
            Self::Bad => {
                r#"<rect x="1" y="1" width="14" height="14" rx="3" fill="currentColor"/><path d="M5.2 5.2l5.6 5.6m0-5.6l-5.6 5.6" stroke="var(--cut)" stroke-width="1.8" stroke-linecap="round"/>"#
            }
            Self::Busy => {
                r#"<circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" stroke-width="1.6"/><path d="M8 3.6a4.4 4.4 0 0 1 0 8.8z" fill="currentColor"/>"#
            }
            Self::Blind => {
                r#"<circle cx="8" cy="8" r="6.4" fill="none" stroke="currentColor" stroke-width="1.4" stroke-dasharray="2.6 1.42"/><path d="M6.2 6.5a1.85 1.85 0 1 1 2.5 1.7c-.5.2-.7.5-.7 1" fill="none" stroke="currentColor" stroke-width="1.4" stroke-linecap="round"/><circle cx="8" cy="11.4" r=".9" fill="currentColor"/>"#
            }
            Self::Off => {
                r#"<circle cx="8" cy="8" r="6.3" fill="none" stroke="currentColor" stroke-width="1.5"/><path d="M5 8h6" stroke="currentColor" stroke-width="1.7" stroke-linecap="round"/>"#
            }
        }
    }
}
