//! Windows as sequences of slices: what lets a row be aggregated once, however many windows it is in.
//!
//! A slice is a stretch of time that lies in a window wholly or not at all: for HOP as long as the
//! slide, for CUMULATE as long as the step, for TUMBLE the window. A window that ends at `end` is made
//! of the slices between its start and its end. All times are ends, exclusive, in ms.
//!
//! Source: Apache Flink, `SliceAssigners`.

use millstream_core::Watermark;
use millstream_core::plan::WindowKind;

use super::TumbleAssigner;

/// How event time is cut into slices, and slices are put together to windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slicing {
    slices: TumbleAssigner,
    shape: Shape,
    /// Rows are results of windows: each is in the window that ends right after its time.
    same: bool,
}

/// Which slices make a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Each slice is one.
    Single,
    /// Those of the last `size_ms`.
    Sliding { size_ms: i64 },
    /// Those since the last multiple of `size_ms`.
    Growing { size_ms: i64 },
}

impl Slicing {
    /// The slices of such windows.
    pub fn new(kind: &WindowKind) -> Self {
        let slices = |size_ms: i64, offset_ms: i64| TumbleAssigner { size_ms, offset_ms };
        let (slices, shape) = match *kind {
            WindowKind::Tumble { size_ms, offset_ms } => {
                (slices(size_ms, offset_ms), Shape::Single)
            }
            WindowKind::Hop {
                size_ms,
                slide_ms,
                offset_ms,
            } => (slices(slide_ms, offset_ms), Shape::Sliding { size_ms }),
            WindowKind::Cumulate {
                size_ms,
                step_ms,
                offset_ms,
            } => (slices(step_ms, offset_ms), Shape::Growing { size_ms }),
            WindowKind::Session { .. } => unreachable!("sessions are not made of slices"),
            WindowKind::Same(ref inner) => {
                let inner = Self::new(inner);
                return Self {
                    same: true,
                    ..inner
                };
            }
        };
        Self {
            slices,
            shape,
            same: false,
        }
    }

    /// Whether each slice is in one window only: nothing is kept after it has fired.
    pub fn is_single(self) -> bool {
        self.same || self.slices_max() == 1
    }

    /// Whether a window is all that came since its first slice.
    pub fn is_growing(self) -> bool {
        !self.is_single() && matches!(self.shape, Shape::Growing { .. })
    }

    /// The slices.
    pub fn slices(self) -> TumbleAssigner {
        self.slices
    }

    /// Number of slices in the longest window.
    pub fn slices_max(self) -> i64 {
        match self.shape {
            Shape::Single => 1,
            Shape::Sliding { size_ms } | Shape::Growing { size_ms } => {
                size_ms / self.slices.size_ms
            }
        }
    }

    /// The slices of these times.
    pub fn ends(self, times: &[i64]) -> Vec<i64> {
        match self.same {
            true => times.iter().map(|time| time.saturating_add(1)).collect(),
            false => self.slices.ends(times),
        }
    }

    /// Start of the window that ends at `end`.
    pub fn start(self, end: i64) -> i64 {
        match self.shape {
            Shape::Single => end.saturating_sub(self.slices.size_ms),
            Shape::Sliding { size_ms } => end.saturating_sub(size_ms),
            Shape::Growing { size_ms } => self.longest(size_ms).start(end.saturating_sub(1)),
        }
    }

    /// The last window that `slice` is in.
    pub fn last_end(self, slice: i64) -> i64 {
        if self.same {
            return slice;
        }
        match self.shape {
            Shape::Single => slice,
            Shape::Sliding { size_ms } => slice.saturating_add(size_ms - self.slices.size_ms),
            Shape::Growing { size_ms } => self.longest(size_ms).end(slice.saturating_sub(1)),
        }
    }

    /// The first window of a row in `slice` that has not passed at `watermark`; none if all have.
    pub fn open_end(self, slice: i64, watermark: Watermark) -> Option<i64> {
        let open = slice.max(self.next_end(watermark, slice));
        (open <= self.last_end(slice)).then_some(open)
    }

    /// The first window that has not passed at `watermark`. `slice` is one of the windows' ends.
    fn next_end(self, watermark: Watermark, slice: i64) -> i64 {
        match watermark {
            Watermark::MIN => i64::MIN,
            _ if self.same && watermark.0.saturating_add(1) < slice => slice,
            _ if self.same => i64::MAX,
            Watermark(ms) => self.slices.end(ms.saturating_add(1)),
        }
    }

    /// The window after the one that ends at `end`.
    pub fn following(self, end: i64) -> i64 {
        end.saturating_add(self.slices.size_ms)
    }

    fn longest(self, size_ms: i64) -> TumbleAssigner {
        let offset_ms = self.slices.offset_ms;
        TumbleAssigner { size_ms, offset_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop() -> Slicing {
        Slicing::new(&WindowKind::Hop {
            size_ms: 30,
            slide_ms: 10,
            offset_ms: 0,
        })
    }

    fn cumulate() -> Slicing {
        Slicing::new(&WindowKind::Cumulate {
            size_ms: 30,
            step_ms: 10,
            offset_ms: 5,
        })
    }

    #[test]
    fn a_slice_of_hop_is_in_as_many_windows_as_slides_make_a_size() {
        assert_eq!(hop().ends(&[0, 9, 10]), [10, 10, 20]);
        assert_eq!(hop().last_end(10), 30);
        assert_eq!(hop().start(30), 0);
        assert_eq!(hop().slices_max(), 3);
    }

    #[test]
    fn a_slice_of_cumulate_is_in_the_windows_up_to_the_longest() {
        assert_eq!(cumulate().ends(&[5, 14, 15]), [15, 15, 25]);
        assert_eq!(cumulate().last_end(15), 35);
        assert_eq!(cumulate().last_end(35), 35);
        assert_eq!(cumulate().start(25), 5);
        assert_eq!(cumulate().start(35), 5);
        assert_eq!(cumulate().start(45), 35);
    }

    #[test]
    fn a_late_row_is_in_the_windows_that_have_not_passed() {
        assert_eq!(hop().open_end(10, Watermark::MIN), Some(10));
        assert_eq!(hop().open_end(10, Watermark(8)), Some(10));
        assert_eq!(
            hop().open_end(10, Watermark(9)),
            Some(20),
            "the first has passed"
        );
        assert_eq!(hop().open_end(10, Watermark(28)), Some(30));
        assert_eq!(hop().open_end(10, Watermark(29)), None);
        assert_eq!(cumulate().open_end(15, Watermark(24)), Some(35));
        assert_eq!(cumulate().open_end(15, Watermark(34)), None);
    }

    #[test]
    fn results_of_windows_stay_in_their_own() {
        let same = Slicing::new(&WindowKind::Same(Box::new(WindowKind::Hop {
            size_ms: 30,
            slide_ms: 10,
            offset_ms: 0,
        })));
        assert!(same.is_single());
        assert_eq!(same.ends(&[29]), [30]);
        assert_eq!(same.start(30), 0);
        assert_eq!(same.open_end(30, Watermark(28)), Some(30));
        assert_eq!(same.open_end(30, Watermark(29)), None);
    }
}
