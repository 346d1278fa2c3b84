#include "gradus/kernels/cuda/emulator/host.h"

const char* cudaGetErrorName(cudaError_t e) {
  switch (e) {
#define GRADUS_NAME(name) \
  case name:              \
    return #name;
    GRADUS_NAME(cudaSuccess)
    GRADUS_NAME(cudaErrorInvalidValue)
    GRADUS_NAME(cudaErrorMemoryAllocation)
    GRADUS_NAME(cudaErrorInitializationError)
    GRADUS_NAME(cudaErrorInvalidConfiguration)
    GRADUS_NAME(cudaErrorInsufficientDriver)
    GRADUS_NAME(cudaErrorNoDevice)
    GRADUS_NAME(cudaErrorInvalidDevice)
    GRADUS_NAME(cudaErrorInvalidResourceHandle)
    GRADUS_NAME(cudaErrorIllegalState)
    GRADUS_NAME(cudaErrorNotReady)
    GRADUS_NAME(cudaErrorIllegalAddress)
    GRADUS_NAME(cudaErrorLaunchFailure)
    GRADUS_NAME(cudaErrorNotSupported)
    GRADUS_NAME(cudaErrorStreamCaptureUnsupported)
    GRADUS_NAME(cudaErrorStreamCaptureInvalidated)
    GRADUS_NAME(cudaErrorStreamCaptureMerge)
    GRADUS_NAME(cudaErrorStreamCaptureUnmatched)
    GRADUS_NAME(cudaErrorStreamCaptureUnjoined)
    GRADUS_NAME(cudaErrorStreamCaptureIsolation)
    GRADUS_NAME(cudaErrorCapturedEvent)
    GRADUS_NAME(cudaErrorStreamCaptureWrongThread)
#undef GRADUS_NAME
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t e) {
  switch (e) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInitializationError:
      return "initialization error";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    default:
      return cudaGetErrorName(e);
  }
}
