// Command ext-authz is an authorization server on the official messages of Envoy, for the tests.
//
// It answers as the sample server of Istio does, or, with -opa, as OPA decides: OPA's Envoy plugin is not there to be
// had, so this server asks OPA's REST API with the input that the plugin would make, and reads the same answers.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sort"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
)

const (
	checkHeader    = "x-ext-authz"
	resultHeader   = "x-ext-authz-check-result"
	receivedHeader = "x-ext-authz-check-received"
	overrideHeader = "x-ext-authz-additional-header-override"
	// How long the answer takes; of the tests alone.
	delayHeader = "x-ext-authz-delay"
	denyBody    = "denied by ext_authz for not found header `x-ext-authz: allow` in the request"
)

type server struct {
	authv3.UnimplementedAuthorizationServer
	opa string
}

func (s *server) Check(ctx context.Context, request *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	headers := request.GetAttributes().GetRequest().GetHttp().GetHeaders()
	wait(headers[delayHeader])
	if s.opa != "" {
		return s.askOPA(ctx, request)
	}
	principal := request.GetAttributes().GetSource().GetPrincipal()
	received := fmt.Sprintf("%s %s %s", headers[":method"], headers[":path"], principal)
	if headers[checkHeader] == "allow" || strings.HasSuffix(principal, "/sa/a") {
		return allow(map[string]string{
			resultHeader:   "allowed",
			receivedHeader: received,
			overrideHeader: "grpc-additional-header-override-value",
		}, nil, nil), nil
	}
	return deny(403, map[string]string{resultHeader: "denied", receivedHeader: received}, denyBody), nil
}

// ServeHTTP is the HTTP side of the sample server.
func (s *server) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	wait(request.Header.Get(delayHeader))
	body, _ := io.ReadAll(request.Body)
	w.Header().Set(receivedHeader, fmt.Sprintf("%s %s %s", request.Method, request.URL.RequestURI(), body))
	w.Header().Set(overrideHeader, request.Header.Get(overrideHeader))
	if request.Header.Get(checkHeader) == "allow" {
		w.Header().Set(resultHeader, "allowed")
		return
	}
	w.Header().Set(resultHeader, "denied")
	w.WriteHeader(http.StatusForbidden)
	_, _ = w.Write([]byte(denyBody))
}

func wait(delay string) {
	if d, err := time.ParseDuration(delay); err == nil {
		time.Sleep(d)
	}
}

// The answer of OPA's Envoy plugin: a boolean, or an object.
type decision struct {
	Allowed                bool              `json:"allowed"`
	Headers                map[string]string `json:"headers"`
	ResponseHeadersToAdd   map[string]string `json:"response_headers_to_add"`
	RequestHeadersToRemove []string          `json:"request_headers_to_remove"`
	Body                   string            `json:"body"`
	HTTPStatus             int32             `json:"http_status"`
}

func (s *server) askOPA(ctx context.Context, request *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	attributes, err := protojson.Marshal(request.GetAttributes())
	if err != nil {
		return nil, err
	}
	path := strings.Split(strings.SplitN(request.GetAttributes().GetRequest().GetHttp().GetPath(), "?", 2)[0], "/")
	input, err := json.Marshal(map[string]any{
		"input": map[string]any{"attributes": json.RawMessage(attributes), "parsed_path": path[1:]},
	})
	if err != nil {
		return nil, err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, s.opa, bytes.NewReader(input))
	if err != nil {
		return nil, err
	}
	post.Header.Set("content-type", "application/json")
	response, err := http.DefaultClient.Do(post)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Result json.RawMessage `json:"result"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Result == nil {
		return nil, fmt.Errorf("OPA has no decision at %s", s.opa)
	}
	var result decision
	if err := json.Unmarshal(answer.Result, &result.Allowed); err != nil {
		if err := json.Unmarshal(answer.Result, &result); err != nil {
			return nil, err
		}
	}
	if result.Allowed {
		return allow(result.Headers, result.RequestHeadersToRemove, result.ResponseHeadersToAdd), nil
	}
	if result.HTTPStatus == 0 {
		result.HTTPStatus = 403
	}
	return deny(result.HTTPStatus, result.Headers, result.Body), nil
}

func allow(headers map[string]string, remove []string, toClient map[string]string) *authv3.CheckResponse {
	return &authv3.CheckResponse{
		Status: &status.Status{Code: int32(code.Code_OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers:              options(headers),
			HeadersToRemove:      remove,
			ResponseHeadersToAdd: options(toClient),
		}},
	}
}

func deny(httpStatus int32, headers map[string]string, body string) *authv3.CheckResponse {
	return &authv3.CheckResponse{
		Status: &status.Status{Code: int32(code.Code_PERMISSION_DENIED)},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(httpStatus)},
			Headers: options(headers),
			Body:    body,
		}},
	}
}

func options(headers map[string]string) []*corev3.HeaderValueOption {
	names := make([]string, 0, len(headers))
	for name := range headers {
		names = append(names, name)
	}
	sort.Strings(names)
	list := make([]*corev3.HeaderValueOption, 0, len(names))
	for _, name := range names {
		list = append(list, &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: name, Value: headers[name]}})
	}
	return list
}

func main() {
	grpcAddress := flag.String("grpc", "127.0.0.1:0", "address of the gRPC service")
	httpAddress := flag.String("http", "127.0.0.1:0", "address of the HTTP service")
	opa := flag.String("opa", "", "URL of an OPA decision, http://…/v1/data/…; empty: decide as Istio's sample server")
	flag.Parse()
	s := &server{opa: *opa}
	grpcListener, err := net.Listen("tcp", *grpcAddress)
	if err != nil {
		log.Fatal(err)
	}
	httpListener, err := net.Listen("tcp", *httpAddress)
	if err != nil {
		log.Fatal(err)
	}
	grpcServer := grpc.NewServer()
	authv3.RegisterAuthorizationServer(grpcServer, s)
	go func() { log.Fatal(http.Serve(httpListener, s)) }()
	ready := map[string]int{
		"grpc": grpcListener.Addr().(*net.TCPAddr).Port,
		"http": httpListener.Addr().(*net.TCPAddr).Port,
	}
	if err := json.NewEncoder(os.Stdout).Encode(ready); err != nil {
		log.Fatal(err)
	}
	// Whoever started it went away: no test leaves a server behind.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	log.Fatal(grpcServer.Serve(grpcListener))
}
