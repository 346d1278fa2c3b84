#include "gradus/tensor/ledger.h"

#include <algorithm>
#include <iomanip>
#include <ostream>
#include <utility>

namespace gradus {
namespace detail {
constinit thread_local Ledger* open_ledger = nullptr;
}
namespace {

std::int64_t bytes_in_memory(const Tensor& t) {
  std::int64_t count = t.numel() ? 1 : 0;
  for (int i = 0; i < t.dim(); ++i)
    if (t.strides()[i] != 0) count *= t.shape()[i];
  return count * item_size(t.dtype());
}

void add(Cost& sum, const Cost& term) {
  sum.calls += term.calls;
  sum.operations += term.operations;
  sum.bytes += term.bytes;
}

template <class Chosen>
Cost sum_of(const std::vector<Ledger::Entry>& entries, Chosen chosen) {
  Cost sum;
  for (const Ledger::Entry& e : entries)
    if (chosen(e)) add(sum, e.cost);
  return sum;
}

}  // namespace

const char* name(Work work) noexcept {
  static constexpr const char* names[] = {"product", "map", "reduction", "solve", "move"};
  return names[static_cast<int>(work)];
}

Ledger::Ledger() noexcept : before_(std::exchange(detail::open_ledger, this)) {}
Ledger::~Ledger() { detail::open_ledger = before_; }

void Ledger::note(const char* operation, Work work, std::int64_t operations,
                  std::span<const Tensor* const> operands) {
  Cost cost{1, operations, 0};
  for (const Tensor* t : operands) cost.bytes += bytes_in_memory(*t);
  for (Ledger* ledger = this; ledger; ledger = ledger->before_) {
    auto& list = ledger->entries_;
    const auto at = std::find_if(list.begin(), list.end(), [&](const Entry& e) {
      return e.work == work && e.operation == operation;
    });
    if (at == list.end())
      list.push_back({operation, work, cost});
    else
      add(at->cost, cost);
  }
}

Cost Ledger::total() const noexcept {
  return sum_of(entries_, [](const Entry&) { return true; });
}
Cost Ledger::total(Work work) const noexcept {
  return sum_of(entries_, [work](const Entry& e) { return e.work == work; });
}
Cost Ledger::of(std::string_view operation) const noexcept {
  return sum_of(entries_, [operation](const Entry& e) { return e.operation == operation; });
}

void detail::count_pass(const char* operation, Work work,
                        const std::vector<const std::vector<Tensor>*>& lists) {
  if (!open_ledger) return;
  std::vector<const Tensor*> operands;
  for (const std::vector<Tensor>* list : lists)
    for (const Tensor& t : *list) operands.push_back(&t);
  std::int64_t operations = 0;
  for (const Tensor& t : *lists.front()) operations += t.numel();
  open_ledger->note(operation, work, operations, operands);
}

std::ostream& operator<<(std::ostream& out, const Ledger& ledger) {
  const auto row = [&out](const std::string& operation, const char* work, const auto&... numbers) {
    out << std::left << std::setw(24) << operation << std::setw(10) << work << std::right;
    ((out << ' ' << std::setw(15) << numbers), ...);
    out << '\n';
  };
  row("operation", "work", "calls", "operations", "bytes");
  for (const Ledger::Entry& e : ledger.entries())
    row(e.operation, name(e.work), e.cost.calls, e.cost.operations, e.cost.bytes);
  const Cost all = ledger.total();
  row("total", "", all.calls, all.operations, all.bytes);
  return out;
}

}  // namespace gradus
