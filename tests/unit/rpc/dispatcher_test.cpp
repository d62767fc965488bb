// Requests, notifications, batches and errors, as the JSON-RPC 2.0 specification has them.
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "control/rpc/dispatcher.hpp"

namespace sluice::control {
namespace {

struct Dispatched {
  int calls = 0;
  std::vector<RpcReply> held;
  RpcDispatcher dispatcher{{
      {"subtract",
       "a - b",
       {{"a", RpcParam::Type::count, true, "from", 100}, {"b", RpcParam::Type::count, false, "less", 100}},
       [this](const Json& params, const RpcReply& reply) {
         ++calls;
         reply(Json(params["a"].get<int>() - params.value("b", 0)));
       }},
      {"name",
       "a text",
       {{"name", RpcParam::Type::text, true, "any"}},
       [](const Json& params, const RpcReply& reply) { reply(params["name"]); }},
      {"held", "later", {}, [this](const Json&, const RpcReply& reply) { held.push_back(reply); }},
      {"fail", "fails", {}, [](const Json&, const RpcReply& reply) { reply(tl::make_unexpected(Error{"no"})); }},
      {"bad_text", "no UTF-8", {}, [](const Json&, const RpcReply& reply) { reply(Json("\xff\xfe")); }},
      {"big", "a megabyte", {}, [](const Json&, const RpcReply& reply) { reply(Json(std::string(1 << 20, 'x'))); }},
  }};

  /// What `done` was given; nothing if it was not called.
  std::optional<std::string> line(std::string_view request) {
    std::optional<std::string> said;
    dispatcher.handle(request, [&](std::string text) {
      EXPECT_FALSE(said) << "answered twice";
      said = std::move(text);
    });
    return said;
  }
  Json ask(std::string_view request) { return Json::parse(line(request).value()); }
  int error(std::string_view request) { return ask(request).at("error").at("code").get<int>(); }
  std::string wrong_params(const std::string& method, const std::string& params) {
    const Json response = ask(R"({"jsonrpc":"2.0","id":1,"method":")" + method + R"(","params":)" + params + "}");
    EXPECT_EQ(response.at("error").at("code"), -32602);
    return response["error"]["message"];
  }
};

TEST(RpcDispatcherTest, text_that_is_no_json_is_a_parse_error) {
  Dispatched d;
  for (const char* text : {"", "nonsense", R"({"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz])", "[",
                           "\"\xff\"", R"({"jsonrpc":"2.0","id":1e999,"method":"held"})", "{} {}"}) {
    const Json response = d.ask(text);
    EXPECT_EQ(response["error"]["code"], -32700) << text;
    EXPECT_TRUE(response["id"].is_null());
  }
}

TEST(RpcDispatcherTest, json_that_is_no_request_is_an_invalid_request) {
  Dispatched d;
  for (const char* text :
       {"1", "\"x\"", "null", "[]", "{}", R"({"method":"held","id":1})", R"({"jsonrpc":"1.0","method":"held","id":1})",
        R"({"jsonrpc":2.0,"method":"held","id":1})", R"({"jsonrpc":"2.0","method":1,"id":1})",
        R"({"jsonrpc":"2.0","method":"held","id":[1]})", R"({"jsonrpc":"2.0","method":"held","id":true})",
        R"({"jsonrpc":"2.0","method":"held","id":1,"prams":{}})"}) {
    EXPECT_EQ(d.error(text), -32600) << text;
  }
  EXPECT_EQ(d.ask(R"({"method":"held","id":"me"})")["id"], "me");
  EXPECT_TRUE(d.held.empty());
}

TEST(RpcDispatcherTest, an_unknown_method_is_named) {
  Dispatched d;
  const Json response = d.ask(R"({"jsonrpc":"2.0","method":"port","id":1})");
  EXPECT_EQ(response["error"]["code"], -32601);
  EXPECT_EQ(response["error"]["message"], R"(there is no method "port": see 'help')");
}

TEST(RpcDispatcherTest, wrong_parameters_are_named_with_what_is_right) {
  Dispatched d;
  EXPECT_EQ(d.wrong_params("subtract", R"({"a":1,"c":2})"), R"(params: "c" is unknown: 'subtract' takes 'a', 'b')");
  EXPECT_EQ(d.wrong_params("subtract", R"({"a":"1"})"), R"(params: 'a' is "1": it is to be an integer from 0 to 100)");
  EXPECT_EQ(d.wrong_params("subtract", R"({"a":101})"), "params: 'a' is 101: it is to be an integer from 0 to 100");
  EXPECT_EQ(d.wrong_params("subtract", R"({"a":-1})"), "params: 'a' is -1: it is to be an integer from 0 to 100");
  EXPECT_EQ(d.wrong_params("subtract", R"({"a":1.0})"), "params: 'a' is 1.0: it is to be an integer from 0 to 100");
  EXPECT_EQ(d.wrong_params("subtract", R"({"a":true})"), "params: 'a' is true: it is to be an integer from 0 to 100");
  EXPECT_EQ(d.wrong_params("subtract", "{}"), "params: 'a' is missing: an integer from 0 to 100, from");
  EXPECT_EQ(d.wrong_params("subtract", "[42]"),
            "params: [42] is no object: parameters are given by name; 'subtract' takes 'a', 'b'");
  EXPECT_EQ(d.wrong_params("name", R"({"name":null})"), "params: 'name' is null: it is to be a string");
  EXPECT_EQ(d.wrong_params("held", R"({"x":1})"), R"(params: "x" is unknown: 'held' takes no parameters)");
  EXPECT_EQ(d.calls, 0);
}

TEST(RpcDispatcherTest, a_long_wrong_value_is_not_repeated_whole) {
  Dispatched d;
  const std::string said = d.wrong_params("name", "{\"name\":[\"" + std::string(10'000, 'y') + "\"]}");
  EXPECT_LT(said.size(), 200U);
}

TEST(RpcDispatcherTest, a_failure_is_said_in_words) {
  Dispatched d;
  EXPECT_EQ(d.ask(R"({"jsonrpc":"2.0","method":"fail","id":7})"),
            Json::parse(R"({"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"no"}})"));
}

TEST(RpcDispatcherTest, a_notification_is_carried_out_and_never_answered) {
  Dispatched d;
  EXPECT_EQ(d.line(R"({"jsonrpc":"2.0","method":"subtract","params":{"a":3}})"), "");
  EXPECT_EQ(d.calls, 1);
  for (const char* text : {R"({"jsonrpc":"2.0","method":"fail"})", R"({"jsonrpc":"2.0","method":"nothing"})",
                           R"({"jsonrpc":"2.0","method":"name","params":{"name":1}})"}) {
    EXPECT_EQ(d.line(text), "") << text;
  }
}

TEST(RpcDispatcherTest, a_batch_answers_each_request_and_no_notification) {
  Dispatched d;
  const Json answers = d.ask(R"([{"jsonrpc":"2.0","method":"subtract","params":{"a":9,"b":2},"id":"1"},
    {"jsonrpc":"2.0","method":"subtract","params":{"a":7}}, {"foo":"boo"}, 1,
    {"jsonrpc":"2.0","method":"foo.get","id":"5"}])");
  ASSERT_EQ(answers.size(), 4U);
  EXPECT_EQ(answers[0], Json::parse(R"({"jsonrpc":"2.0","id":"1","result":7})"));
  EXPECT_EQ(answers[1]["error"]["code"], -32600);
  EXPECT_EQ(answers[2]["error"]["code"], -32600);
  EXPECT_EQ(answers[3]["error"]["code"], -32601);
  EXPECT_EQ(d.calls, 2);
}

TEST(RpcDispatcherTest, a_batch_of_notifications_gets_no_answer) {
  Dispatched d;
  EXPECT_EQ(d.line(R"([{"jsonrpc":"2.0","method":"subtract","params":{"a":9}},{"jsonrpc":"2.0","method":"fail"}])"),
            "");
}

TEST(RpcDispatcherTest, a_batch_is_answered_when_the_last_of_it_is) {
  Dispatched d;
  std::optional<std::string> said;
  const char* kHeld = R"({"jsonrpc":"2.0","method":"held","id":1})";
  d.dispatcher.handle("[" + std::string(kHeld) + "," + kHeld + "]", [&](std::string text) { said = std::move(text); });
  ASSERT_EQ(d.held.size(), 2U);
  d.held[1](Json("second"));
  EXPECT_FALSE(said);
  d.held[0](Json("first"));
  EXPECT_EQ(Json::parse(said.value()).size(), 2U);
}

TEST(RpcDispatcherTest, a_batch_costs_no_more_than_its_limits) {
  Dispatched d;
  std::string many = "[1";
  for (std::size_t i = 0; i < kMaxBatch; ++i) many += ",1";
  EXPECT_EQ(d.error(many + "]"), -32600);

  std::string big = "[";
  for (std::size_t i = 0; i < 64; ++i) {
    big += (i > 0 ? "," : "") + std::string(R"({"jsonrpc":"2.0","method":"big","id":)") + std::to_string(i) + "}";
  }
  const auto text = d.line(big + "]");
  EXPECT_LT(text->size(), kMaxBatchResponseBytes + (2 << 20));
  const Json answers = Json::parse(*text);
  ASSERT_EQ(answers.size(), 64U);
  EXPECT_TRUE(answers[0].contains("result"));
  EXPECT_EQ(answers[63]["error"]["code"], -32000);
  EXPECT_EQ(answers[63]["id"], 63);
}

TEST(RpcDispatcherTest, brackets_in_strings_are_not_depth) {
  Dispatched d;
  const std::string brackets = R"(\"[[[[\\[[[[[{{{{{{{{{{{{{{{{{{{{{[[[[[[[[[[[[[[[[[)";
  const Json response = d.ask(R"({"jsonrpc":"2.0","id":1,"method":"name","params":{"name":")" + brackets + R"("}})");
  EXPECT_TRUE(response.contains("result")) << response;
}

TEST(RpcDispatcherTest, just_so_deep_is_read_and_one_deeper_is_not) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(parse_message(nested(kMaxDepth)));
  EXPECT_FALSE(parse_message(nested(kMaxDepth + 1)));
}

TEST(RpcDispatcherTest, bytes_that_are_no_utf8_are_answered_as_utf8) {
  Dispatched d;
  EXPECT_EQ(d.ask(R"({"jsonrpc":"2.0","method":"bad_text","id":1})")["result"], "\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(RpcDispatcherTest, help_lists_every_method_with_its_parameters) {
  Dispatched d;
  const Json rows = d.ask(R"({"jsonrpc":"2.0","method":"help","id":1})")["result"];
  ASSERT_EQ(rows.size(), 7U);
  EXPECT_EQ(rows[0]["name"], "subtract");
  EXPECT_EQ(rows[0]["params"][1],
            Json::parse(R"({"name":"b","type":"an integer from 0 to 100","required":false,"meaning":"less"})"));
  EXPECT_EQ(rows[6]["name"], "help");
}

}  // namespace
}  // namespace sluice::control
