//! Joins.

use super::{Generator, push};
use crate::query::{From, Join, JoinKind, Query, Stage};

impl Generator<'_> {
    pub(super) fn window_join(&mut self, query: &mut Query) {
        let other = self.input(query, From::Stream("others"));
        let window = self.window();
        let inputs = [0, other].map(|input| match self.chance.below(3) {
            0 => {
                self.aggregate_of(query, input, Some(window.clone()));
                query.stages.len() - 1
            }
            _ => push(
                query,
                Stage::Windowed {
                    input,
                    window: window.clone(),
                },
            ),
        });
        let joined = self.join(query, inputs, None);
        if query.rows(joined).window_time.is_some() && self.chance.one_in(3) {
            let third = self.input(query, From::Stream("events"));
            let third = push(
                query,
                Stage::Windowed {
                    input: third,
                    window,
                },
            );
            self.join(query, [joined, third], None);
        }
    }

    pub(super) fn interval_join(&mut self, query: &mut Query) {
        let other = self.input(query, From::Stream("others"));
        let least = self.chance.between(-4, 3) * 1_000;
        let most = least + self.chance.between(0, 4) * 1_000;
        self.join(query, [0, other], Some((least, most)));
    }

    pub(super) fn join(
        &mut self,
        query: &mut Query,
        inputs: [usize; 2],
        bounds: Option<(i64, i64)>,
    ) -> usize {
        let columns = inputs.map(|input| query.rows(input).columns);
        let pairs: Vec<[String; 2]> = columns[0]
            .iter()
            .flat_map(|left| {
                let right = columns[1].iter().filter(|right| right.kind == left.kind);
                right.map(|right| [left.name.clone(), right.name.clone()])
            })
            .collect();
        let least_keys = usize::from(bounds.is_some());
        let count = if pairs.is_empty() {
            0
        } else {
            least_keys + self.chance.below(2)
        };
        let keys = (0..count)
            .map(|_| self.chance.pick(&pairs).clone())
            .collect();
        let residual = match pairs.is_empty() {
            false if self.chance.one_in(4) => Some(self.chance.pick(&pairs).clone()),
            _ => None,
        };
        let kinds = [
            JoinKind::Inner,
            JoinKind::Left,
            JoinKind::Right,
            JoinKind::Full,
            JoinKind::Semi,
            JoinKind::Anti,
        ];
        let kind = match bounds {
            None => *self.chance.pick(&kinds),
            Some(_) => *self.chance.pick(&kinds[..4]),
        };
        let join = Join {
            inputs,
            kind,
            keys,
            residual,
            bounds,
        };
        push(query, Stage::Join(join))
    }
}
