# A policy as users write it for OPA's Envoy plugin: what is not allowed is denied with a reason, and who is allowed is
# told to the app. `attributes` is Envoy's own, from the CheckRequest.
package postern.authz

http := input.attributes.request.http

caller := object.get(input.attributes.source, "principal", "")

default decision := {
	"allowed": false,
	"http_status": 403,
	"headers": {"x-opa": "denied", "content-type": "application/json"},
	"body": "{\"error\":\"not allowed by policy\"}",
}

decision := {
	"allowed": true,
	"headers": {"x-opa": "allowed", "x-opa-caller": caller},
	"response_headers_to_add": {"x-opa-answer": "seen"},
	"request_headers_to_remove": ["x-internal-secret"],
} if {
	readable
}

decision := {"allowed": false, "http_status": 401, "headers": {"www-authenticate": "Bearer"}, "body": "who are you"} if {
	caller == ""
	not public
}

# Everybody in namespace foo may read; nobody may do more, but an admin by role.
readable if public

readable if {
	http.method == "GET"
	startswith(caller, "spiffe://cluster.local/ns/foo/")
}

readable if {
	caller != ""
	"admin" in split(http.headers["x-role"], ",")
}

public if input.parsed_path == ["healthz"]
