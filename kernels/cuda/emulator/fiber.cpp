#include "gradus/kernels/cuda/emulator/fiber.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdint>

#include "gradus/kernels/cuda/emulator/vocabulary.h"

#ifdef __has_feature
#define GRADUS_HAS_FEATURE(x) __has_feature(x)
#else
#define GRADUS_HAS_FEATURE(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || GRADUS_HAS_FEATURE(address_sanitizer)
#define GRADUS_FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#elif defined(__SANITIZE_THREAD__) || GRADUS_HAS_FEATURE(thread_sanitizer)
#define GRADUS_FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#ifndef GRADUS_EMULATOR_UCONTEXT
// Saves what a call must keep, swaps the stacks, restores: 6 ns. swapcontext takes 220 ns, because
// it also saves the signal mask, by two system calls.
extern "C" void gradus_fiber_switch(void** from, void* to);
extern "C" void gradus_fiber_begin();
#if defined(__x86_64__)
asm(R"(.text
.globl gradus_fiber_switch
.hidden gradus_fiber_switch
.type gradus_fiber_switch,@function
gradus_fiber_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  jmp *%rcx
.size gradus_fiber_switch,.-gradus_fiber_switch
.globl gradus_fiber_begin
.hidden gradus_fiber_begin
.type gradus_fiber_begin,@function
gradus_fiber_begin:
  movq %r12, %rdi
  callq *%rbx
  ud2
.size gradus_fiber_begin,.-gradus_fiber_begin
)");
constexpr std::size_t saved_words = 7, word_of_return = 6, word_of_function = 4,
                      word_of_argument = 3;
#else
asm(R"(.text
.globl gradus_fiber_switch
.hidden gradus_fiber_switch
.type gradus_fiber_switch,%function
gradus_fiber_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size gradus_fiber_switch,.-gradus_fiber_switch
.globl gradus_fiber_begin
.hidden gradus_fiber_begin
.type gradus_fiber_begin,%function
gradus_fiber_begin:
  mov x0, x20
  blr x19
  brk #1
.size gradus_fiber_begin,.-gradus_fiber_begin
)");
constexpr std::size_t saved_words = 20, word_of_return = 11, word_of_function = 0,
                      word_of_argument = 1;
#endif
#endif

namespace gradus::emulator {
namespace {

constexpr std::size_t page = 65536;  // the largest page of the systems Gradus runs on
#if defined(GRADUS_FIBER_ASAN) || defined(GRADUS_FIBER_TSAN)
constexpr std::size_t stack_size = 256 << 10;  // instrumented frames are large
#else
constexpr std::size_t stack_size = 64 << 10;
#endif

}  // namespace

Fiber::Fiber(void (*entry)(void*), void* argument)
    : entry_(entry), argument_(argument), stack_bytes_(stack_size) {
  // The page below is never accessible: a stack that overflows faults and spoils nothing.
  void* const memory = mmap(nullptr, stack_size + page, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw Error("emulator: no memory for the stack of a thread");
  stack_ = static_cast<char*>(memory) + page;
  if (mprotect(stack_, stack_size, PROT_READ | PROT_WRITE) != 0) {
    munmap(memory, stack_size + page);
    throw Error("emulator: no memory for the stack of a thread");
  }
#ifdef GRADUS_EMULATOR_UCONTEXT
  getcontext(&registers_);
  registers_.uc_stack.ss_sp = stack_;
  registers_.uc_stack.ss_size = stack_size;
  registers_.uc_link = nullptr;
  // makecontext hands on ints: the pointer in two halves.
  const auto bits = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(this));
  const auto enter = +[](unsigned low, unsigned high) {
    const std::uint64_t whole = std::uint64_t(high) << 32 | low;
    begin(reinterpret_cast<Fiber*>(static_cast<std::uintptr_t>(whole)));
  };
  makecontext(&registers_, reinterpret_cast<void (*)()>(enter), 2, static_cast<unsigned>(bits),
              static_cast<unsigned>(bits >> 32));
#else
  // As if gradus_fiber_switch had been called by gradus_fiber_begin, 16-byte aligned. Stacks begin
  // at different offsets within their pages, for else what all of them touch competes for the same
  // few places in the caches.
  static std::atomic<std::size_t> fibers{0};
  const std::size_t colour = fibers.fetch_add(1, std::memory_order_relaxed) * 320 % 16384;
  void** const frame = reinterpret_cast<void**>(stack_ + stack_size - 64 - colour) - saved_words;
  frame[word_of_return] = reinterpret_cast<void*>(gradus_fiber_begin);
  frame[word_of_function] = reinterpret_cast<void*>(begin);
  frame[word_of_argument] = this;
  registers_ = frame;
#endif
#ifdef GRADUS_FIBER_TSAN
  sanitizer_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
  if (entry_ == nullptr) return;
#ifdef GRADUS_FIBER_TSAN
  __tsan_destroy_fiber(sanitizer_);
#endif
  munmap(stack_ - page, stack_size + page);
}

void Fiber::begin(Fiber* self) {
  self->arrived();
  self->entry_(self->argument_);
}

void Fiber::switch_to(Fiber& next) {
  if (&next == this) return;
  next.previous_ = this;
#if defined(GRADUS_FIBER_ASAN)
  __sanitizer_start_switch_fiber(&sanitizer_, next.stack_, next.stack_bytes_);
#elif defined(GRADUS_FIBER_TSAN)
  if (entry_ == nullptr) sanitizer_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(next.sanitizer_, 0);
#endif
#ifdef GRADUS_EMULATOR_UCONTEXT
  swapcontext(&registers_, &next.registers_);
#else
  gradus_fiber_switch(&registers_, next.registers_);
#endif
  arrived();
}

void Fiber::arrived() {
#ifdef GRADUS_FIBER_ASAN
  // It also tells the bounds of the stack that was left: the only cheap way to those of an OS
  // thread.
  const void* bottom = nullptr;
  std::size_t bytes = 0;
  __sanitizer_finish_switch_fiber(sanitizer_, &bottom, &bytes);
  if (previous_->entry_ == nullptr) {
    previous_->stack_ = static_cast<char*>(const_cast<void*>(bottom));
    previous_->stack_bytes_ = bytes;
  }
#endif
}

}  // namespace gradus::emulator
