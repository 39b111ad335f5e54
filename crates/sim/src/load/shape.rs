//! Shapes of graphs.

use crate::rng::Rng;

/// What a graph looks like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Broadcast,
    Chain,
    Diamonds,
    FanIn,
    Independent,
    Random,
    Stencil,
    Tree,
}

const ALL: [Shape; 8] = [
    Shape::Broadcast,
    Shape::Chain,
    Shape::Diamonds,
    Shape::FanIn,
    Shape::Independent,
    Shape::Random,
    Shape::Stencil,
    Shape::Tree,
];

impl Shape {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        *rng.pick(&ALL)
    }

    /// For each of `count` tasks, those before it that it depends on.
    pub(crate) fn edges(self, rng: &mut Rng, count: u32) -> Vec<Vec<u32>> {
        let width = rng.small(2, 6);
        (0..count).map(|n| self.inputs(rng, n, width)).collect()
    }

    fn inputs(self, rng: &mut Rng, n: u32, width: u32) -> Vec<u32> {
        match self {
            Self::Broadcast => (n > 0).then_some(0).into_iter().collect(),
            Self::Chain => n.checked_sub(1).into_iter().collect(),
            Self::Diamonds => match n % (width + 2) {
                0 => n.checked_sub(1).into_iter().collect(),
                place if place <= width => vec![n - place],
                _ => (n - width..n).collect(),
            },
            Self::FanIn if n % (4 * width) == 4 * width - 1 => (n + 1 - 4 * width..n).collect(),
            Self::FanIn | Self::Independent => Vec::new(),
            Self::Random => {
                let mut inputs: Vec<u32> = match n {
                    0 => Vec::new(),
                    _ => {
                        (0..rng.below(4)).map(|_| rng.small(n.saturating_sub(20), n - 1)).collect()
                    }
                };
                if rng.chance(90) {
                    inputs.sort_unstable();
                    inputs.dedup();
                }
                inputs
            }
            Self::Stencil => match n.checked_sub(width) {
                None => Vec::new(),
                Some(above) => {
                    let column = i64::from(n % width);
                    (-1..=1)
                        .filter(|shift| (0..i64::from(width)).contains(&(column + shift)))
                        .map(|shift| {
                            u32::try_from(i64::from(above) + shift).expect("within the row above")
                        })
                        .collect()
                }
            },
            // Leaves first, then each joins two of those that nothing has joined.
            Self::Tree if n % 2 == 1 || n < 2 => Vec::new(),
            Self::Tree => vec![n - 1, n - 2],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_depend_on_earlier_ones_only() {
        let mut rng = Rng::new(3);
        for shape in ALL {
            let edges = shape.edges(&mut rng, 60);
            let is_earlier =
                |(n, inputs): (usize, &Vec<u32>)| inputs.iter().all(|input| (*input as usize) < n);
            assert!(edges.iter().enumerate().all(is_earlier), "{shape:?}");
        }
    }
}
