#include "gradus/kernels/cpu/lapack.h"

#include <dlfcn.h>

#include <string>

#include "gradus/kernels/error.h"

namespace gradus::cpu {
namespace {

constexpr const char* file = "liblapack.so.3";

void* library() {
  static void* const handle = [] {
    if (void* found = ::dlopen(file, RTLD_NOW | RTLD_LOCAL)) return found;
    const char* why = ::dlerror();
    throw Error(std::string("linalg: needs LAPACK on the CPU (Debian's liblapack3): ") +
                (why ? why : file));
  }();
  return handle;
}

template <class F>
void find(F*& function, const std::string& name) {
  function = reinterpret_cast<F*>(::dlsym(library(), name.c_str()));
  if (!function) throw Error(std::string("linalg: ") + file + " has no " + name);
}

}  // namespace

template <class T>
const Lapack<T>& lapack() {
  static const Lapack<T> all = [] {
    const std::string type = sizeof(T) == sizeof(float) ? "s" : "d";
    Lapack<T> found;
    find(found.getrf, type + "getrf_");
    find(found.potrf, type + "potrf_");
    find(found.trtrs, type + "trtrs_");
    find(found.syevd, type + "syevd_");
    find(found.gesdd, type + "gesdd_");
    return found;
  }();
  return all;
}
template const Lapack<float>& lapack();
template const Lapack<double>& lapack();

const BlasThreads& blas_threads() {
  static const BlasThreads all = {
      reinterpret_cast<void (*)(int)>(::dlsym(library(), "openblas_set_num_threads")),
      reinterpret_cast<int (*)()>(::dlsym(library(), "openblas_get_num_threads"))};
  return all;
}

}  // namespace gradus::cpu
