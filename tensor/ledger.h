// What a run costs: the operations and bytes of every kernel that this thread starts while a Ledger
// is alive, forward and backward, on any device.
//
//   Ledger ledger;
//   const Tensor y = layer(x);
//   ledger.total(Work::product).operations   // two for each multiply-add
//
// The numbers follow from the sizes alone. Each thread has its own; a ledger inside of another
// counts for both. Without one an operation pays one branch.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gradus/tensor/tensor.h"

namespace gradus {

// What a kernel does, and what counts as its operations:
//   product    matrix products: a multiply-add is two
//   map        formulas, their gradients, random numbers, steps of optimisers: one an element
//   reduction  sums, softmax and other passes along rows, adding through indices: one an element
//   solve      LU: 2/3 n^3 a matrix, and 2 n^2 a column that it solves for; Cholesky: 1/3 n^3;
//              triangular_solve: n^2 a column; eigh and svd, which iterate: none
//   move       copies, conversions, fills, reads through indices: none
enum class Work { product, map, reduction, solve, move };
GRADUS_API const char* name(Work work) noexcept;

struct Cost {
  std::int64_t calls = 0;
  std::int64_t operations = 0;
  // Read and written: each operand once, an element that is broadcast once.
  std::int64_t bytes = 0;
};

class GRADUS_API Ledger {
 public:
  struct Entry {
    std::string operation;  // its gradient's kernels count under the same name
    Work work;
    Cost cost;
  };

  Ledger() noexcept;
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  const std::vector<Entry>& entries() const noexcept { return entries_; }  // as they first came
  Cost total() const noexcept;
  Cost total(Work work) const noexcept;
  Cost of(std::string_view operation) const noexcept;  // zeros where it did not run
  void clear() noexcept { entries_.clear(); }

  void note(const char* operation, Work work, std::int64_t operations,
            std::span<const Tensor* const> operands);

 private:
  Ledger* before_;
  std::vector<Entry> entries_;
};

// A table: operation, work, calls, operations, bytes.
GRADUS_API std::ostream& operator<<(std::ostream&, const Ledger&);

namespace detail {

// The innermost of this thread. Read in every operation, hence the quick model.
[[gnu::tls_model("initial-exec")]] extern constinit thread_local Ledger* open_ledger;

inline void count(const char* operation, Work work, std::int64_t operations,
                  std::initializer_list<const Tensor*> operands) {
  if (open_ledger) [[unlikely]]
    open_ledger->note(operation, work, operations, {operands.begin(), operands.size()});
}

// One pass over lists of tensors, with an operation for each element of the first list.
void count_pass(const char* operation, Work work,
                const std::vector<const std::vector<Tensor>*>& lists);

}  // namespace detail
}  // namespace gradus
