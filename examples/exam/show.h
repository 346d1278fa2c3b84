// The ledger on a terminal, as JSON, and as a page.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <ostream>
#include <vector>

#include "examples/exam/ledger.h"

namespace gradus::exam {

struct Result {
  const Statement* statement;
  Exam exam;
};

// The head of the columns; a result's line; all of its evidence.
void show_head(std::ostream& out);
void show(std::ostream& out, const Result& result);
void show_evidence(std::ostream& out, const Result& result);

// Numbers as they are; those that are not finite as the words nan, inf and -inf.
nlohmann::ordered_json json(const std::vector<Result>& results, bool quick);

std::string html(const std::vector<Result>& results);

}  // namespace gradus::exam
