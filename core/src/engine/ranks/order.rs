//! The orders of rank 0 to the other ranks.

use super::{Link, LinkError};
use crate::engine::{Subset, Want};

/// An order. Parameters, running averages or a task follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Leave: the training has ended.
    Leave,
    /// Build the share of a task, which follows in `len` bytes.
    Prepare { len: usize },
    /// Evaluate a part of the data at the parameters that follow.
    Evaluate { part: Subset, want: Want },
    /// Count the hits at the parameters and running averages that follow.
    Accuracy { part: Subset },
}

const PARTS: [Subset; 3] = [Subset::Train, Subset::Test, Subset::Validation];
const WANTS: [Want; 3] = [Want::Loss, Want::Gradient, Want::ClassGradient];

impl Order {
    /// Tells the other ranks.
    pub fn tell(self, link: &dyn Link) -> Result<(), LinkError> {
        link.tell(&mut self.to_bytes())
    }

    /// Waits for rank 0's next order.
    pub fn receive(link: &dyn Link) -> Result<Self, LinkError> {
        let mut bytes = [0; 16];
        link.tell(&mut bytes)?;
        Self::from_bytes(bytes).ok_or_else(|| {
            LinkError(
                "rank 0 is another version of lcascope: start the same on all hosts".to_owned(),
            )
        })
    }

    fn to_bytes(self) -> [u8; 16] {
        let index = |part| PARTS.iter().position(|&other| other == part).unwrap_or(0);
        let (kind, first, second) = match self {
            Self::Leave => (0, 0, 0),
            Self::Prepare { len } => (1, 0, len),
            Self::Evaluate { part, want } => (2, index(part), want as usize),
            Self::Accuracy { part } => (3, index(part), 0),
        };
        let mut bytes = [0; 16];
        bytes[0] = kind;
        bytes[1] = u8::try_from(first).unwrap_or(0);
        bytes[8..].copy_from_slice(&(second as u64).to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        let (kind, first) = (bytes[0], usize::from(bytes[1]));
        let second = usize::try_from(u64::from_le_bytes(bytes[8..].try_into().ok()?)).ok()?;
        let part = PARTS.get(first).copied()?;
        match kind {
            0 => Some(Self::Leave),
            1 => Some(Self::Prepare { len: second }),
            2 => (WANTS.get(second)).map(|&want| Self::Evaluate { part, want }),
            3 => Some(Self::Accuracy { part }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_survive_the_way() {
        let mut orders = vec![Order::Leave, Order::Prepare { len: 1 << 40 }];
        for part in PARTS {
            orders.push(Order::Accuracy { part });
            orders.extend(WANTS.map(|want| Order::Evaluate { part, want }));
        }
        for order in orders {
            assert_eq!(Order::from_bytes(order.to_bytes()), Some(order));
        }
        assert_eq!(Order::from_bytes([4; 16]), None);
        assert_eq!(Order::from_bytes([2; 16]), None);
    }
}
