#include "examples/exam/show.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "examples/common/mathml.h"

namespace gradus::exam {
namespace {

using examples::escape;
using Json = nlohmann::ordered_json;

std::string number(const Values& values, std::size_t i) {
  if (values.empty()) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", values[values.size() == 1 ? 0 : i]);
  return text;
}

std::string brief(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1e", value);
  return value == 0 ? "0" : text;
}

bool compares(const Evidence& found) { return !found.autodiff.empty() || !found.closed.empty(); }

std::string judged(const Evidence& found) {
  if (!compares(found)) return found.tolerance;
  return brief(found.error) + " <= " + brief(found.bound) + " " + found.tolerance;
}

// What stands for the statement in its one line: a failure, or else the first comparison of all
// three routes, or of two.
const Evidence* headline(const Exam& exam) {
  const auto rank = [](const Evidence& e) {
    if (!e.ok) return 0;
    return compares(e) ? 4 - !e.autodiff.empty() - !e.closed.empty() - !e.independent.empty() : 5;
  };
  const auto best =
      std::min_element(exam.evidence.begin(), exam.evidence.end(),
                       [&](const Evidence& a, const Evidence& b) { return rank(a) < rank(b); });
  return best == exam.evidence.end() ? nullptr : &*best;
}

// UTF-8 counts bytes, a column characters.
std::string padded(std::string text, std::size_t width) {
  const auto characters = static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
  if (characters < width) text.append(width - characters, ' ');
  return text;
}

void line(std::ostream& out, const std::vector<std::string>& cells) {
  constexpr std::size_t widths[] = {5, 61, 13, 13, 13, 33};
  for (std::size_t i = 0; i < std::size(widths); ++i) out << padded(cells[i], widths[i]) << ' ';
  out << cells.back() << '\n';
}

Json numbers(const Values& values) {
  Json list = Json::array();
  for (const double value : values)
    list.push_back(std::isfinite(value) ? Json(value)
                                        : Json(std::isnan(value) ? "nan"
                                               : value > 0       ? "inf"
                                                                 : "-inf"));
  return list;
}

void rows(std::ostream& out, const Exam& exam) {
  out << "<table class=\"evidence\"><tr><th></th><th>autodiff</th><th>closed form</th>"
         "<th>independent</th><th>error</th><th></th></tr>\n";
  for (const Evidence& found : exam.evidence) {
    out << "<tr class=\"" << (found.ok ? "pass" : "FAIL") << "\"><td>" << escape(found.what);
    if (!found.facts.empty()) out << "<small>" << escape(found.facts) << "</small>";
    out << "</td>";
    for (const Values* values : {&found.autodiff, &found.closed, &found.independent})
      out << "<td>" << (compares(found) ? number(*values, found.worst) : "") << "</td>";
    out << "<td>" << escape(judged(found)) << "</td><td>" << (found.ok ? "✓" : "✗")
        << "</td></tr>\n";
  }
  out << "</table>\n";
}

constexpr const char* style = R"(<style>
section { border-top: 1px solid var(--line); padding-top: 8px; margin-top: 36px; }
h2 code { font-size: 17px; color: var(--s0); margin-right: 10px; }
h2 .FAIL { color: #d92d20; } h2 .pass { color: var(--s2); } h2 span { float: right; }
math { font-size: 19px; margin: 4px 0 18px; }
.evidence { font-size: 13.5px; width: 100%; margin: 0 0 22px; }
.evidence th { text-align: left; font-weight: 500; color: var(--soft); }
.evidence td { padding: 4px 12px 4px 0; font-variant-numeric: tabular-nums; vertical-align: top; }
.evidence td:last-child { color: var(--s2); } .evidence .FAIL td:last-child { color: #d92d20; }
.evidence small { display: block; color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: 4px 14px; margin: 12px 0; }
nav a { color: inherit; text-decoration: none; }
.remark { border-left: 3px solid var(--s1); padding-left: 12px; }
</style>
)";

}  // namespace

void show_head(std::ostream& out) {
  line(out,
       {"", "claim", "autodiff", "closed form", "independent", "error <= tolerance", "verdict"});
}

void show(std::ostream& out, const Result& result) {
  const Exam& exam = result.exam;
  const Evidence none, *found = headline(exam);
  if (!found) found = &none;
  const auto failed = std::count_if(exam.evidence.begin(), exam.evidence.end(),
                                    [](const Evidence& e) { return !e.ok; });
  std::ostringstream verdict;
  if (exam.passed())
    verdict << "pass (" << exam.evidence.size() << ')';
  else
    verdict << "FAIL (" << failed << " of " << exam.evidence.size() << "): " << found->what
            << (found->facts.empty() ? "" : ": ") << found->facts;
  line(out, {result.statement->id, result.statement->claim, number(found->autodiff, found->worst),
             number(found->closed, found->worst), number(found->independent, found->worst),
             judged(*found), verdict.str()});
}

void show_evidence(std::ostream& out, const Result& result) {
  const Statement& statement = *result.statement;
  out << "      " << statement.statement << "\n      " << statement.formula << '\n';
  if (!statement.remark.empty()) out << "      Remark: " << statement.remark << '\n';
  for (const Evidence& found : result.exam.evidence) {
    line(out, {"", "  " + found.what, number(found.autodiff, found.worst),
               number(found.closed, found.worst), number(found.independent, found.worst),
               judged(found), found.ok ? "pass" : "FAIL"});
    if (!found.facts.empty()) out << "          " << found.facts << '\n';
  }
}

Json json(const std::vector<Result>& results, bool quick) {
  Json statements = Json::array();
  for (const auto& [statement, exam] : results) {
    Json evidence = Json::array();
    for (const Evidence& found : exam.evidence) {
      Json one = {{"what", found.what}, {"pass", found.ok}, {"tolerance", found.tolerance}};
      if (compares(found)) {
        one["autodiff"] = numbers(found.autodiff);
        one["closed"] = numbers(found.closed);
        one["independent"] = numbers(found.independent);
        one["error"] = numbers(found.error)[0];
        one["bound"] = numbers(found.bound)[0];
      }
      if (!found.facts.empty()) one["facts"] = found.facts;
      evidence.push_back(std::move(one));
    }
    statements.push_back({{"id", statement->id},
                          {"claim", statement->claim},
                          {"formula", statement->formula},
                          {"remark", statement->remark},
                          {"pass", exam.passed()},
                          {"evidence", std::move(evidence)}});
  }
  return {{"quick", quick}, {"statements", std::move(statements)}};
}

std::string html(const std::vector<Result>& results) {
  std::ostringstream out;
  const auto passed = std::count_if(results.begin(), results.end(),
                                    [](const Result& result) { return result.exam.passed(); });
  std::size_t comparisons = 0;
  for (const Result& result : results) comparisons += result.exam.evidence.size();
  out << style << "<p>" << passed << " of " << results.size() << " statements hold, by "
      << comparisons
      << " comparisons: the library's derivative, the closed form, and a route that knows "
         "neither.</p>\n<nav>";
  for (const auto& [statement, exam] : results)
    out << "<a href=\"#" << statement->id << "\">" << statement->id << "</a>";
  out << "</nav>\n";
  for (const auto& [statement, exam] : results) {
    const char* verdict = exam.passed() ? "pass" : "FAIL";
    out << "<section id=\"" << statement->id << "\"><h2><code>" << statement->id << "</code>"
        << escape(statement->claim) << "<span class=\"" << verdict << "\">" << verdict
        << "</span></h2>\n<p>" << escape(statement->statement) << "</p>\n"
        << examples::mathml(statement->formula) << '\n';
    if (!statement->remark.empty())
      out << "<p class=\"remark\">" << escape(statement->remark) << "</p>\n";
    for (const std::string& picture : exam.pictures) out << picture;
    rows(out, exam);
    out << "</section>\n";
  }
  return examples::page("The exams, checked", out.str());
}

}  // namespace gradus::exam
