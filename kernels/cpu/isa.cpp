#include "gradus/kernels/cpu/isa.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

namespace gradus::cpu {
namespace {

bool supported(Isa set) noexcept {
#if GRADUS_WIDE
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  switch (set) {
    case Isa::avx512:
      return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    case Isa::avx2: return avx2;
    case Isa::baseline: return true;
  }
#endif
  return set == Isa::baseline;
}

struct Choice {
  std::atomic<Isa> set;
  std::string problem;

  Choice() {
    Isa best = Isa::baseline;
    for (Isa s : {Isa::avx2, Isa::avx512})
      if (supported(s)) best = s;
    if (const char* wish = std::getenv("GRADUS_ISA")) {
      bool known = false;
      for (Isa s : {Isa::baseline, Isa::avx2, Isa::avx512}) {
        if (std::strcmp(wish, name(s)) != 0) continue;
        known = true;
        if (supported(s))
          best = s;
        else
          problem = std::string("GRADUS_ISA=") + wish + ": this processor lacks it";
      }
      if (!known)
        problem = std::string("GRADUS_ISA=") + wish + ": unknown (baseline, avx2, avx512)";
    }
    set = best;
  }
};

Choice& choice() noexcept {
  static Choice c;
  return c;
}

}  // namespace

Isa isa() noexcept { return choice().set.load(std::memory_order_relaxed); }

bool set_isa(Isa s) noexcept {
  if (!supported(s)) return false;
  choice().set = s;
  return true;
}

const char* name(Isa s) noexcept {
  return s == Isa::avx512 ? "avx512" : s == Isa::avx2 ? "avx2" : "baseline";
}

std::string isa_problem() { return choice().problem; }

}  // namespace gradus::cpu
