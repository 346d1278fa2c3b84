#include "examples/common/program.h"

#include <unistd.h>
#include <csignal>

#include <atomic>
#include <cstdio>
#include <exception>
#include <new>

#include "examples/common/errors.h"

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

}  // namespace

int run_program(const char* program, const std::function<int()>& body) {
  try {
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
