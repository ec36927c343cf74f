//! The element-wise kernels: plain loops over slices, one per type and operator, that the compiler vectorises.

use bytemuck::Pod;
use half::bf16;

use super::{DataType, ReduceOp};

/// Stores `with op received` in `into`, element by element.
///
/// # Panics
/// If the lengths differ, are not whole elements, or the slices are not aligned for the type.
pub fn combine(data_type: DataType, op: ReduceOp, into: &mut [u8], with: &[u8], received: &[u8]) {
    dispatch(
        data_type,
        op,
        Combine {
            into,
            with,
            received,
        },
    );
}

/// Stores `into op received` in `into`, element by element.
///
/// # Panics
/// As [`combine`].
pub fn accumulate(data_type: DataType, op: ReduceOp, into: &mut [u8], received: &[u8]) {
    dispatch(data_type, op, Accumulate { into, received });
}

/// An element type and its operators.
pub trait Element: Pod + PartialEq {
    /// The type's value nearest to a small integer; exact up to ±256 in every type.
    fn from_small(value: i16) -> Self;
    /// `a + b`; integers wrap.
    fn sum(a: Self, b: Self) -> Self;
    /// `a × b`; integers wrap.
    fn prod(a: Self, b: Self) -> Self;
    /// The lesser.
    fn min(a: Self, b: Self) -> Self;
    /// The greater.
    fn max(a: Self, b: Self) -> Self;
}

/// Applies `op` to two elements.
pub fn apply<T: Element>(op: ReduceOp, a: T, b: T) -> T {
    match op {
        ReduceOp::Sum => T::sum(a, b),
        ReduceOp::Prod => T::prod(a, b),
        ReduceOp::Min => T::min(a, b),
        ReduceOp::Max => T::max(a, b),
    }
}

/// Something done once the element type and the operator are known at compile time.
trait Kernel {
    fn run<T: Element>(self, op: impl Fn(T, T) -> T);
}

struct Combine<'a> {
    into: &'a mut [u8],
    with: &'a [u8],
    received: &'a [u8],
}

struct Accumulate<'a> {
    into: &'a mut [u8],
    received: &'a [u8],
}

impl Kernel for Combine<'_> {
    fn run<T: Element>(self, op: impl Fn(T, T) -> T) {
        let into: &mut [T] = bytemuck::cast_slice_mut(self.into);
        let with: &[T] = bytemuck::cast_slice(self.with);
        let received: &[T] = bytemuck::cast_slice(self.received);
        assert!(
            into.len() == with.len() && into.len() == received.len(),
            "operands of different lengths"
        );
        for ((into, with), received) in into.iter_mut().zip(with).zip(received) {
            *into = op(*with, *received);
        }
    }
}

impl Kernel for Accumulate<'_> {
    fn run<T: Element>(self, op: impl Fn(T, T) -> T) {
        let into: &mut [T] = bytemuck::cast_slice_mut(self.into);
        let received: &[T] = bytemuck::cast_slice(self.received);
        assert_eq!(into.len(), received.len(), "operands of different lengths");
        for (into, received) in into.iter_mut().zip(received) {
            *into = op(*into, *received);
        }
    }
}

fn dispatch(data_type: DataType, op: ReduceOp, kernel: impl Kernel) {
    match data_type {
        DataType::F32 => with_op::<f32>(op, kernel),
        DataType::F64 => with_op::<f64>(op, kernel),
        DataType::Bf16 => with_op::<bf16>(op, kernel),
        DataType::I32 => with_op::<i32>(op, kernel),
        DataType::I64 => with_op::<i64>(op, kernel),
    }
}

fn with_op<T: Element>(op: ReduceOp, kernel: impl Kernel) {
    match op {
        ReduceOp::Sum => kernel.run(T::sum),
        ReduceOp::Prod => kernel.run(T::prod),
        ReduceOp::Min => kernel.run(T::min),
        ReduceOp::Max => kernel.run(T::max),
    }
}

/// [`Element`] from the given expressions; `min` and `max` by comparison, which vectorises for every type.
macro_rules! element {
    ($($type:ty: $small:expr, $sum:expr, $prod:expr;)*) => {$(
        impl Element for $type {
            fn from_small(value: i16) -> Self {
                $small(value)
            }
            fn sum(a: Self, b: Self) -> Self {
                $sum(a, b)
            }
            fn prod(a: Self, b: Self) -> Self {
                $prod(a, b)
            }
            fn min(a: Self, b: Self) -> Self {
                if b < a { b } else { a }
            }
            fn max(a: Self, b: Self) -> Self {
                if b > a { b } else { a }
            }
        }
    )*};
}

element! {
    f32: f32::from, |a, b| a + b, |a, b| a * b;
    f64: f64::from, |a, b| a + b, |a, b| a * b;
    i32: i32::from, i32::wrapping_add, i32::wrapping_mul;
    i64: i64::from, i64::wrapping_add, i64::wrapping_mul;
}

impl Element for bf16 {
    fn from_small(value: i16) -> Self {
        narrow(f32::from(value))
    }
    fn sum(a: Self, b: Self) -> Self {
        narrow(widen(a) + widen(b))
    }
    fn prod(a: Self, b: Self) -> Self {
        narrow(widen(a) * widen(b))
    }
    fn min(a: Self, b: Self) -> Self {
        narrow(f32::min(widen(a), widen(b)))
    }
    fn max(a: Self, b: Self) -> Self {
        narrow(f32::max(widen(a), widen(b)))
    }
}

/// bf16 is the upper half of an f32.
fn widen(value: bf16) -> f32 {
    f32::from_bits(u32::from(value.to_bits()) << 16)
}

/// Rounds to the nearest, ties to even, without the branches that keep `bf16::from_f32` from being vectorised.
fn narrow(value: f32) -> bf16 {
    const QUIET: u16 = 0x0040;
    let bits = value.to_bits();
    let rounded = (bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) >> 16) as u16;
    let nan = (bits >> 16) as u16 | QUIET;
    bf16::from_bits(if value.is_nan() { nan } else { rounded })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn narrowing_rounds_as_the_half_crate_does(bits in any::<u32>()) {
            let value = f32::from_bits(bits);
            prop_assert_eq!(narrow(value).to_bits(), bf16::from_f32(value).to_bits());
        }
    }

    #[test]
    fn operators_do_what_they_say_on_every_type() {
        fn check<T: Element + std::fmt::Debug>(data_type: DataType) {
            let small = T::from_small;
            let a = [small(3), small(-4), small(7)];
            let b = [small(5), small(6), small(-2)];
            for (op, results) in [
                (ReduceOp::Sum, [8, 2, 5]),
                (ReduceOp::Prod, [15, -24, -14]),
                (ReduceOp::Min, [3, -4, -2]),
                (ReduceOp::Max, [5, 6, 7]),
            ] {
                let expected = results.map(small);
                let mut into = [small(0); 3];
                combine(
                    data_type,
                    op,
                    bytemuck::cast_slice_mut(&mut into),
                    bytemuck::cast_slice(&a),
                    bytemuck::cast_slice(&b),
                );
                assert_eq!(into, expected, "{data_type} {op}");
                let mut into = a;
                accumulate(
                    data_type,
                    op,
                    bytemuck::cast_slice_mut(&mut into),
                    bytemuck::cast_slice(&b),
                );
                assert_eq!(into, expected, "{data_type} {op}");
            }
        }
        check::<f32>(DataType::F32);
        check::<f64>(DataType::F64);
        check::<bf16>(DataType::Bf16);
        check::<i32>(DataType::I32);
        check::<i64>(DataType::I64);
    }

    #[test]
    fn integers_wrap_around() {
        assert_eq!(<i32 as Element>::sum(i32::MAX, 1), i32::MIN);
        assert_eq!(<i64 as Element>::prod(i64::MAX, 2), -2);
    }
}
