#include "examples/exam/problems.h"

#include <algorithm>

namespace gradus::exam {
namespace {

// By paper, then by number.
bool earlier(const Statement& a, const Statement& b) {
  const int x = std::stoi(a.id.substr(1)), y = std::stoi(b.id.substr(1));
  return a.id[0] != b.id[0] ? a.id[0] < b.id[0] : x != y ? x < y : a.id < b.id;
}

}  // namespace

const std::vector<Statement>& ledger() {
  static const std::vector<Statement> all = [] {
    std::vector<Statement> statements;
    for (const auto problem : {flow_maps, log_normals, adversarial_games, noise_schedules, networks,
                               eigenvalue_problems, activations, chains}) {
      const std::vector<Statement> more = problem();
      statements.insert(statements.end(), more.begin(), more.end());
    }
    std::sort(statements.begin(), statements.end(), earlier);
    return statements;
  }();
  return all;
}

}  // namespace gradus::exam
