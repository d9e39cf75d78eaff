//! Where objects may end: what stands in one follows from the records alone, and not from how many of them were there when
//! somebody looked. Who reads the same records again makes the same objects.

use azenha_model::plan::{End, ObjectsOutput};

/// Records after which a lane looks whether its objects are to end.
const RECORDS: usize = 4_096;

/// Bytes of records, or of the objects that they announce, after which it looks.
const BYTES: u64 = 4 << 20;

/// Counts records since the last commit, or since the lane looked last.
pub struct Steps {
    /// None: the lane looks whenever it likes.
    most: Option<(usize, u64)>,
    records: usize,
    bytes: u64,
}

impl Steps {
    /// Those of a task that ends so.
    pub fn of(end: &End) -> Self {
        let most = match end {
            End::Objects(ObjectsOutput { roll, .. }) => Some((RECORDS.min(roll.rows as usize), BYTES.min(roll.bytes))),
            _ => None,
        };
        Self { most, records: 0, bytes: 0 }
    }

    /// Whether objects end after a step only.
    pub fn are_kept(&self) -> bool {
        self.most.is_some()
    }

    /// How many of the next records, whose sizes these are, belong to the step that has begun: at least one.
    pub fn length(&self, sizes: &[u64]) -> usize {
        if self.most.is_none() {
            return sizes.len();
        }
        let mut step = Self { ..*self };
        sizes.iter().position(|size| step.pass(&[*size])).map_or(sizes.len(), |last| last + 1)
    }

    /// Passes records of the step; whether it ends with them.
    pub fn pass(&mut self, sizes: &[u64]) -> bool {
        let Some((records, bytes)) = self.most else { return true };
        self.records += sizes.len();
        self.bytes += sizes.iter().sum::<u64>();
        let ends = self.records >= records || self.bytes >= bytes;
        if ends {
            self.begin();
        }
        ends
    }

    /// A step begins behind each commit.
    pub fn begin(&mut self) {
        (self.records, self.bytes) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(records: usize, bytes: u64) -> Steps {
        Steps { most: Some((records, bytes)), records: 0, bytes: 0 }
    }

    /// The numbers of the records behind which steps end, if they come in reads of these lengths.
    fn ends(sizes: &[u64], reads: &[usize]) -> Vec<usize> {
        let (mut steps, mut ends, mut from) = (steps(3, 100), Vec::new(), 0);
        for read in reads {
            let until = (from + read).min(sizes.len());
            while from < until {
                let length = steps.length(&sizes[from..until]);
                from += length;
                if steps.pass(&sizes[from - length..from]) {
                    ends.push(from);
                }
            }
        }
        ends
    }

    #[test]
    fn steps_end_at_the_same_records_however_they_are_read() {
        let sizes = [1, 1, 1, 99, 1, 1, 250, 1, 1, 1, 50, 49, 1, 7];
        let whole = ends(&sizes, &[sizes.len()]);
        assert_eq!(whole, [3, 5, 7, 10, 13]);
        assert_eq!(ends(&sizes, &[1; 14]), whole);
        assert_eq!(ends(&sizes, &[2, 4, 1, 5, 2]), whole);
    }

    #[test]
    fn without_steps_everything_that_is_read_is_one() {
        let mut none = Steps { most: None, records: 0, bytes: 0 };
        assert!(none.length(&[5; 9]) == 9 && none.pass(&[5]) && !none.are_kept());
    }
}
