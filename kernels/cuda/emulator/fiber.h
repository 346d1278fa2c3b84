// A stack of its own, and where the work on it stopped.
#pragma once

#include <cstddef>

#if !defined(__x86_64__) && !defined(__aarch64__) && !defined(GRADUS_EMULATOR_UCONTEXT)
#define GRADUS_EMULATOR_UCONTEXT
#endif
#ifdef GRADUS_EMULATOR_UCONTEXT
#include <ucontext.h>
#endif

namespace gradus::emulator {

class Fiber {
 public:
  Fiber() noexcept = default;  // the stack of the caller
  // Calls entry(argument) when first switched to; entry never returns. Throws Error without memory.
  Fiber(void (*entry)(void*), void* argument);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Called on this fibre: goes on with `next`, and returns when somebody switches back. Between two
  // switches a fibre may move to another OS thread only if its code holds no address of
  // thread-local memory.
  void switch_to(Fiber& next);

 private:
  static void begin(Fiber* self);
  void arrived();

  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  char* stack_ = nullptr;  // lowest byte that may be used
  std::size_t stack_bytes_ = 0;
  Fiber* previous_ = nullptr;                   // who switched here
  [[maybe_unused]] void* sanitizer_ = nullptr;  // what the sanitizer knows of this stack
#ifdef GRADUS_EMULATOR_UCONTEXT
  ucontext_t registers_;
#else
  void* registers_ = nullptr;  // stack pointer; the callee's registers lie there
#endif
};

}  // namespace gradus::emulator
