#include "examples/common/program.h"

#include <sys/resource.h>
#include <unistd.h>
#include <csignal>

#include <atomic>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string_view>

#include "examples/common/errors.h"
#include "gradus/kernels/cpu/isa.h"

namespace gradus::examples {
namespace {

std::atomic<bool> stop_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may touch nothing else");

void on_signal(int) {
  if (stop_requested.exchange(true)) ::_exit(Exit::interrupted);
}

int code_of(const std::exception& error) {
  if (dynamic_cast<const UsageError*>(&error)) return Exit::usage;
  if (dynamic_cast<const DataError*>(&error)) return Exit::data;
  if (dynamic_cast<const NumericError*>(&error)) return Exit::numeric;
  if (dynamic_cast<const OutOfMemory*>(&error)) return Exit::memory;
  if (dynamic_cast<const std::bad_alloc*>(&error)) return Exit::memory;
  return 1;
}

// The library passes over a wish that it cannot grant; whoever starts a program should know.
void check_environment() {
  const std::string problem = cpu::isa_problem();
  if (!problem.empty()) throw UsageError(problem);
  const char* wish = std::getenv("GRADUS_THREADS");
  if (!wish) return;
  const std::string_view text = wish;
  int n = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || stop != text.data() + text.size() || n < 1 || n > 256)
    refuse<UsageError>("GRADUS_THREADS=", text, ": must be an integer from 1 to 256");
}

constexpr std::size_t kernels_stack = 256 << 10;  // bytes; reductions take 150 KiB

// Apart from what must come before it: the frame of whoever calls anything is touched by the call.
[[gnu::noinline]] void touch_stack() {
  constexpr std::size_t page = 4096;
  volatile char stack[kernels_stack];
  for (std::size_t i = kernels_stack; i > 0; i -= page) stack[i - 1] = 0;
  static_cast<void>(stack[0]);
}

// The stack grows page by page, and where a page is refused there is no error to catch. So what the
// kernels need is taken before they run, after asking for as much.
void reserve_stack() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < 2 * kernels_stack)
    refuse<UsageError>("stack: must have at least ", 2 * kernels_stack >> 10,
                       " KiB (ulimit -s), has ", limit.rlim_cur >> 10);
  ::operator delete(::operator new(kernels_stack));
  touch_stack();
}

}  // namespace

int run_program(const char* program, const std::function<int()>& body) {
  try {
    reserve_stack();
    check_environment();
    return body();
  } catch (const std::exception& error) {
    const int code = code_of(error);
    const bool bare = typeid(error) == typeid(std::bad_alloc);
    std::fflush(stdout);
    std::fprintf(stderr, "%s: error: %s\n", program, bare ? "out of memory" : error.what());
    return code;
  }
}

struct Interrupt::Saved {
  struct sigaction interrupt, terminate;
};

Interrupt::Interrupt() : saved_(new Saved) {
  stop_requested = false;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &saved_->interrupt);
  ::sigaction(SIGTERM, &action, &saved_->terminate);
}

Interrupt::~Interrupt() {
  ::sigaction(SIGINT, &saved_->interrupt, nullptr);
  ::sigaction(SIGTERM, &saved_->terminate, nullptr);
  delete saved_;
}

bool Interrupt::requested() const { return stop_requested; }

}  // namespace gradus::examples
