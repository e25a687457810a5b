// A CUDA driver without a device, in the place of libcuda.so.1. cuDNN looks its functions up by name to compile and
// load the kernels of a plan. Loading succeeds without looking at the code; everything else says that there is no
// device. Types are those of the driver's binary interface: handles are pointers, statuses and enumerations are ints.
#include <cstdint>

namespace {
constexpr int kSuccess = 0, kNoDevice = 100;
uintptr_t last_handle = 0x1000;

int give_handle(void** to) {
  last_handle += 16;
  *to = reinterpret_cast<void*>(last_handle);  // never followed
  return kSuccess;
}
}  // namespace

extern "C" {

int cuLibraryLoadData(void** library, const void*, int*, void**, unsigned, int*, void**, unsigned) {
  return give_handle(library);
}
int cuLibraryUnload(void*) { return kSuccess; }
int cuLibraryGetKernel(void** kernel, void*, const char*) { return give_handle(kernel); }
int cuKernelSetAttribute(int, int, void*, int) { return kSuccess; }
int cuKernelGetAttribute(int* value, int, void*, int) {
  *value = 0;
  return kSuccess;
}
int cuGetErrorName(int, const char** name) {
  *name = "CUDA_ERROR_NO_DEVICE";
  return kSuccess;
}
int cuGetErrorString(int, const char** text) {
  *text = "a double without a device";
  return kSuccess;
}

#define TESSERA_NO_DEVICE(name) \
  int name() { return kNoDevice; }
TESSERA_NO_DEVICE(cuCtxGetCurrent)
TESSERA_NO_DEVICE(cuCtxGetLimit)
TESSERA_NO_DEVICE(cuCtxPopCurrent)
TESSERA_NO_DEVICE(cuCtxPushCurrent)
TESSERA_NO_DEVICE(cuDeviceGet)
TESSERA_NO_DEVICE(cuDeviceGetCount)
TESSERA_NO_DEVICE(cuDriverGetVersion)
TESSERA_NO_DEVICE(cuLaunchCooperativeKernel)
TESSERA_NO_DEVICE(cuLaunchKernel)
TESSERA_NO_DEVICE(cuLaunchKernelEx)
TESSERA_NO_DEVICE(cuLibraryLoadFromFile)
TESSERA_NO_DEVICE(cuLinkAddData)
TESSERA_NO_DEVICE(cuLinkComplete)
TESSERA_NO_DEVICE(cuLinkCreate)
TESSERA_NO_DEVICE(cuLinkDestroy)
TESSERA_NO_DEVICE(cuOccupancyMaxPotentialClusterSize)
TESSERA_NO_DEVICE(cuStreamGetCtx)

}  // extern "C"
