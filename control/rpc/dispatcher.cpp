// RpcDispatcher. See dispatcher.hpp; section numbers are those of the JSON-RPC 2.0 specification.
#include "control/rpc/dispatcher.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace sluice::control {
namespace {

constexpr int kLoggedParams = 400;  // bytes

/// Section 4: what a request must look like. Nothing if it does.
std::optional<std::string> malformed(const Json& request) {
  if (!request.is_object()) return "a request is to be an object";
  const auto version = request.find("jsonrpc");
  if (version == request.end() || *version != "2.0") return R"("jsonrpc" is to be "2.0")";
  const auto method = request.find("method");
  if (method == request.end() || !method->is_string()) return R"("method" is to be a string)";
  const auto id = request.find("id");
  if (id != request.end() && !id->is_string() && !id->is_number() && !id->is_null()) {
    return R"("id" is to be a string, a number or null)";
  }
  for (const auto& [name, value] : request.items()) {
    if (name != "jsonrpc" && name != "method" && name != "id" && name != "params") {
      return fmt::format("{} is no member of a request", to_line(Json(name)));
    }
  }
  return std::nullopt;
}

/// Section 5: the id of a request that is wrong elsewhere, null if it has none that could be told.
Json id_of(const Json& request) {
  if (!request.is_object()) return nullptr;
  const auto id = request.find("id");
  if (id == request.end() || id->is_structured() || id->is_boolean()) return nullptr;
  return *id;
}

}  // namespace

/// A batch whose requests have not all been answered.
struct RpcDispatcher::Batch {
  std::string responses;  ///< as text, "[…,…": it is what they cost
  std::size_t waiting = 0;
  Done done;

  void add(const Json& response) {
    if (!response.is_null()) {
      responses += responses.empty() ? '[' : ',';
      if (responses.size() < kMaxBatchResponseBytes) {
        responses += to_line(response);
      } else {
        responses += to_line(error_response(
            response["id"], {RpcCode::failed, "the batch's responses are too long: ask for fewer at once"}));
      }
    }
    // Section 6: no response at all, not an empty array, to a batch of notifications.
    if (--waiting == 0) done(responses.empty() ? "" : responses + ']');
  }
};

RpcDispatcher::RpcDispatcher(std::vector<RpcMethod> methods) : methods_(std::move(methods)) {
  methods_.push_back({"help", "the methods there are, and their parameters", {}, {}});
  // The answer is fixed from here on: no pointer to the dispatcher in the method.
  methods_.back().call = [answer = describe(methods_)](const Json&, const RpcReply& reply) { reply(answer); };
}

const RpcMethod* RpcDispatcher::find(const std::string& name) const {
  const auto found =
      std::find_if(methods_.begin(), methods_.end(), [&name](const RpcMethod& method) { return method.name == name; });
  return found == methods_.end() ? nullptr : &*found;
}

void RpcDispatcher::handle(std::string_view line, Done done) const {
  tl::expected<Json, RpcError> message = parse_message(line);
  if (!message) return done(to_line(error_response(nullptr, message.error())));
  if (!message->is_array()) {
    return request(*message, [done = std::move(done)](const Json& response) {
      done(response.is_null() ? "" : to_line(response));
    });
  }
  if (message->empty() || message->size() > kMaxBatch) {
    return done(to_line(error_response(
        nullptr,
        {RpcCode::invalid_request, fmt::format("a batch of {}: it is to be 1 to {}", message->size(), kMaxBatch)})));
  }
  auto batch = std::make_shared<Batch>();
  batch->waiting = message->size();
  batch->done = std::move(done);
  for (const Json& one : *message) {
    request(one, [batch](const Json& response) { batch->add(response); });
  }
}

/// `done` is given the response, or null where a notification gets none.
void RpcDispatcher::request(const Json& request, std::function<void(Json)> done) const {
  if (auto wrong = malformed(request)) {
    return done(error_response(id_of(request), {RpcCode::invalid_request, std::move(*wrong)}));
  }
  const bool notification = !request.contains("id");
  const Json id = id_of(request);
  auto refuse = [&](RpcCode code, std::string why) {
    done(notification ? Json() : error_response(id, {code, std::move(why)}));
  };
  const std::string name = request["method"].get<std::string>();
  const RpcMethod* method = find(name);
  if (method == nullptr) {
    return refuse(RpcCode::method_not_found, fmt::format("there is no method {}: see 'help'", to_line(Json(name))));
  }
  const Json params = request.value("params", Json::object());
  if (auto wrong = check_params(*method, params)) return refuse(RpcCode::invalid_params, std::move(*wrong));
  if (spdlog::should_log(spdlog::level::debug)) {
    // In ASCII, so that it may be cut anywhere.
    const std::string text = params.dump(-1, ' ', true, Json::error_handler_t::replace);
    spdlog::debug("control socket: {} {:.{}}", name, text, kLoggedParams);
  }

  method->call(params, [notification, id, done](Expected<Json> answer) {
    if (notification) return done(nullptr);
    done(answer ? result_response(id, std::move(*answer))
                : error_response(id, {RpcCode::failed, answer.error().message}));
  });
}

}  // namespace sluice::control
