// The frame around every program: exceptions become messages and exit codes, signals become a flag.
#pragma once

#include <functional>

namespace gradus::examples {

// Runs the body and returns its exit code. An exception becomes `program: error: what` on standard
// error and the code of its class (errors.h); an unforeseen one becomes 1. A wrong value of
// GRADUS_ISA or GRADUS_THREADS is a UsageError of the program.
int run_program(const char* program, const std::function<int()>& body);

// From construction to destruction SIGINT and SIGTERM only ask to stop; a second one exits with 130
// at once. The previous handlers come back afterwards. One at a time.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  bool requested() const;

 private:
  struct Saved;
  Saved* saved_;
};

}  // namespace gradus::examples
