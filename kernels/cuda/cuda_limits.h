// What a device can do at most, measured: copies inside its memory, and f16 products of cuBLASLt. Step thread only; waits for the device.
#pragma once

#include "kernels/machine_limits.h"

namespace terrace {

class CudaDevice;

/// Rates count bytes read and bytes written. Takes at most a quarter of the memory that is free, and about half a second.
MachineLimits measure_device_limits(CudaDevice& device, size_t set_bytes);

}  // namespace terrace
