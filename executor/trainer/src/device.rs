//! Where a run computes, and with how many threads.
//!
//! One binary serves both kinds of machine: the CUDA half of libtorch is opened by name before anything asks for a device.
//! Where it is not there, the processor does the work.

use std::ffi::CStr;

use tch::{Device, Tensor};
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::extension::Precision;

use crate::cli::DeviceName;
use crate::error::{Result, TrainerError};
use crate::kernels::{self, CudaMemory};

/// The libraries that register CUDA with libtorch.
const CUDA_LIBRARY: &CStr = c"libtorch_cuda.so";

/// The device of this run: the first CUDA device where there is one, else the processor.
pub fn choose() -> Device {
    // SAFETY: dlopen runs the library's constructors, which is what registers the CUDA backend. The handle is never closed, so
    // nothing registered can dangle. A null handle means that the library is not there.
    unsafe { libc::dlopen(CUDA_LIBRARY.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    Device::cuda_if_available()
}

/// The device of that name: [`choose`] where none is given.
///
/// # Errors
/// Where `cuda` is asked for and there is none.
pub fn named(device: Option<DeviceName>) -> Result<Device> {
    match (device, choose()) {
        (None, device) | (Some(DeviceName::Cuda), device @ Device::Cuda(_)) => Ok(device),
        (Some(DeviceName::Cpu), _) => Ok(Device::Cpu),
        (Some(DeviceName::Cuda), _) => {
            let message = "--device: no CUDA device here, or libtorch without its CUDA half";
            let param = Some("--device".to_string());
            Err(TrainerError::request(ErrorCode::InvalidValue, param, message))
        }
    }
}

/// Waits until a device has done what it was given: only then does a clock tell anything.
pub fn finish(device: Device) {
    if let Device::Cuda(index) = device {
        tch::Cuda::synchronize(index as i64);
    }
}

/// The word for a device in events.
pub fn name(device: Device) -> &'static str {
    match device {
        Device::Cuda(_) => "cuda",
        _ => "cpu",
    }
}

/// What libtorch holds of an accelerator's memory; `None` for the processor.
///
/// # Errors
/// As libtorch reports.
pub fn memory(device: Device) -> Result<Option<CudaMemory>> {
    match device {
        Device::Cuda(index) => kernels::cuda_memory(index as i64).map(Some),
        _ => Ok(None),
    }
}

/// `x`, which is on the processor, on `device`: copied there from pinned memory, without a wait for what the device has yet to do.
///
/// # Errors
/// As libtorch reports.
pub fn send(x: &Tensor, device: Device) -> Result<Tensor> {
    match device {
        Device::Cuda(index) => kernels::send(x, index as i64),
        _ => Ok(x.f_to_device(device)?),
    }
}

/// The compute format of a precision.
pub fn kind(precision: Precision) -> tch::Kind {
    match precision {
        Precision::Fp32 => tch::Kind::Float,
        Precision::Bf16 => tch::Kind::BFloat16,
        Precision::Fp16 => tch::Kind::Half,
    }
}

/// What Linux says of the processor; nothing where it does not.
pub fn processor() -> String {
    std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()
}

/// Sets the threads of matrix products, by default one for each physical core; gives their number. Results depend on it in the last
/// bits.
pub fn set_threads(threads: Option<u32>) -> u32 {
    let available = std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
    let threads = threads.unwrap_or_else(|| match physical_cores() {
        Some(cores) => cores.min(available),
        None => available,
    });
    tch::set_num_threads(i32::try_from(threads).unwrap_or(1));
    threads
}

/// Cores as the kernel lists them: a core with two hardware threads has one set of units for matrix products.
fn physical_cores() -> Option<u32> {
    let text = processor();
    let (mut package, mut cores) = ("", std::collections::BTreeSet::new());
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        match key.trim() {
            "physical id" => package = value.trim(),
            "core id" => {
                cores.insert((package, value.trim()));
            }
            _ => {}
        }
    }
    u32::try_from(cores.len()).ok().filter(|&cores| cores > 0)
}

/// Lets the C allocator keep freed memory for the next step, which needs as much again: fetching it anew from the kernel, page by
/// page, costs a fifth of a step (487 against 606 tokens a second at 4 x 512 on two cores, peak memory unchanged).
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets parameters of the allocator; it is called before other threads are there.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
    }
}
