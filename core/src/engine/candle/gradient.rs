//! Operations with their own gradient for candle's autograd.
//!
//! candle 0.11 gets some gradients wrong (max pooling, `ReLU` at 0, convolutions whose stride leaves a remainder) and
//! computes others in many passes. Such an operation is computed on detached tensors; the result is then tied to its
//! arguments by a function that computes the gradient.

use std::sync::{Mutex, PoisonError};

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Storage, Tensor, bail,
};

/// Attaches the gradient `backward(x, y, ∂L/∂y)` to the already computed `y = f(x)`.
pub(super) fn unary(
    x: &Tensor,
    y: Tensor,
    backward: impl Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    if !x.track_op() {
        return Ok(y);
    }
    x.apply_op1(Computed::new(y, backward))
}

/// Attaches the gradients `backward(a, b, ∂L/∂y)` to the already computed `y = f(a, b)`. The function may return `None`
/// for an argument that is not tracked ([`Tensor::track_op`]).
pub(super) fn binary(
    a: &Tensor,
    b: &Tensor,
    y: Tensor,
    backward: impl Fn(&Tensor, &Tensor, &Tensor) -> Result<Gradients> + Send + Sync + 'static,
) -> Result<Tensor> {
    if !a.track_op() && !b.track_op() {
        return Ok(y);
    }
    a.apply_op2(b, Computed::new(y, backward))
}

/// Gradients with respect to two arguments.
pub(super) type Gradients = (Option<Tensor>, Option<Tensor>);

/// A computed result, held until candle takes it, and its backward function.
struct Computed<F> {
    result: Mutex<Option<Tensor>>,
    backward: F,
}

impl<F> Computed<F> {
    fn new(result: Tensor, backward: F) -> Self {
        Self {
            result: Mutex::new(Some(result)),
            backward,
        }
    }

    /// Returns a copy of the result and frees the original. candle calls this once.
    fn take(&self) -> Result<(Storage, Shape)> {
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(result) = result.take() else {
            bail!("an operation was asked for its result twice");
        };
        let result = result.force_contiguous()?;
        let (storage, layout) = result.storage_and_layout();
        Ok((storage.try_clone(layout)?, layout.shape().clone()))
    }

    fn take_cpu(&self) -> Result<(CpuStorage, Shape)> {
        match self.take()? {
            (Storage::Cpu(storage), shape) => Ok((storage, shape)),
            _ => bail!("a result for the CPU is elsewhere"),
        }
    }

    fn take_cuda(&self) -> Result<(CudaStorage, Shape)> {
        match self.take()? {
            (Storage::Cuda(storage), shape) => Ok((storage, shape)),
            _ => bail!("a result for the GPU is elsewhere"),
        }
    }
}

impl<F: Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>> CustomOp1 for Computed<F> {
    fn name(&self) -> &'static str {
        "operation with its own gradient"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.take_cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.take_cuda()
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (x, y) = (x.detach(), y.detach());
        Ok(Some((self.backward)(&x, &y, gradient)?))
    }
}

impl<F: Fn(&Tensor, &Tensor, &Tensor) -> Result<Gradients>> CustomOp2 for Computed<F> {
    fn name(&self) -> &'static str {
        "operation with its own gradients"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.take_cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.take_cuda()
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Gradients> {
        (self.backward)(a, b, gradient)
    }
}
