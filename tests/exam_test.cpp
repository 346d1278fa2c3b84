// The exams' statements hold, and each verdict can fail.
#include <gtest/gtest.h>

#include <set>

#include "examples/common/mathml.h"
#include "examples/exam/ledger.h"

namespace gradus::exam {
namespace {

std::string failures(const Exam& exam) {
  std::string text;
  for (const Evidence& found : exam.evidence)
    if (!found.ok) text += found.what + ": " + found.facts + "\n";
  return text;
}

TEST(ExamStatements, HoldOnEveryDevice) {
  for (const Device device : available_devices())
    for (const Statement& statement : ledger()) {
      const Exam exam = examine(statement, device, true);
      EXPECT_TRUE(exam.passed()) << device << ' ' << statement.id << '\n' << failures(exam);
    }
}

TEST(ExamStatementsSlow, HoldAtFullSize) {
  for (const Statement& statement : ledger()) {
    const Exam exam = examine(statement, Device::cpu, false);
    EXPECT_TRUE(exam.passed()) << statement.id << '\n' << failures(exam);
  }
}

TEST(ExamStatements, FailWhereTheirInputsAreWrong) {
  for (const Statement& statement : ledger()) {
    const Exam right = examine(statement, Device::cpu, true);
    const std::set<std::string> faults(right.faults.begin(), right.faults.end());
    EXPECT_FALSE(faults.empty()) << statement.id;
    for (const std::string& fault : faults)
      EXPECT_FALSE(examine(statement, Device::cpu, true, fault).passed())
          << statement.id << ": " << fault;
  }
}

TEST(ExamStatements, AreNamedOnceAndReadable) {
  std::set<std::string> ids;
  for (const Statement& statement : ledger()) {
    EXPECT_TRUE(ids.insert(statement.id).second) << statement.id;
    EXPECT_NO_THROW(examples::mathml(statement.formula)) << statement.id;
    EXPECT_FALSE(statement.statement.empty()) << statement.id;
  }
}

}  // namespace
}  // namespace gradus::exam
