package caddymodules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/routing"
)

// proxyConfig is the one reverse proxy in front of all apps, for what does not
// go direct.
//
// Its patience and its idle connections are those of a request that goes
// direct. Which instances fail is known to the selection. A stream survives a
// reload of Caddy's configuration for stream_close_delay.
const proxyConfig = `{
	"dynamic_upstreams": {"source": "hop3"},
	"transport": {
		"protocol": "http",%s
		"compression": false,
		"dial_timeout": "2s",
		"keep_alive": {"idle_timeout": "1500ms", "max_idle_conns_per_host": 256}
	},
	"load_balancing": {
		"selection_policy": {"policy": "hop3"},
		"try_duration": "5s",
		"try_interval": "50ms",
		"retry_match": [{"hop3_repeat_once": {}}]
	},
	"stream_close_delay": "5m"%s
}`

// profile is what tells one reverse proxy from another.
type profile struct {
	h2c       bool // the instances speak HTTP/2 in clear
	requests  bool // bodies of requests are buffered
	responses bool // bodies of answers are buffered
}

// config returns the configuration of a profile's proxy.
func (p profile) config() string {
	const buffer = 1 << 20
	transport, proxy := "", ""
	if p.h2c {
		transport = `"versions": ["h2c"],`
	}
	if p.requests {
		proxy += fmt.Sprintf(`, "request_buffers": %d`, buffer)
	}
	if p.responses {
		proxy += fmt.Sprintf(`, "response_buffers": %d`, buffer)
	}
	return fmt.Sprintf(proxyConfig, transport, proxy)
}

// loadProxies loads a reverse proxy for each profile an app can have.
func (a *Apps) loadProxies(ctx caddy.Context) (err error) {
	a.proxies = map[profile]caddyhttp.MiddlewareHandler{}
	for _, p := range []profile{{}, {h2c: true}, {requests: true}, {responses: true}, {requests: true, responses: true}} {
		if a.proxies[p], err = loadHandler(ctx, "http.handlers.reverse_proxy", p.config()); err != nil {
			return err
		}
	}
	a.proxy = a.proxies[profile{}]
	return nil
}

// loadEncoders loads Caddy's encoder for each order of encodings an app can
// have.
func loadEncoders(ctx caddy.Context) (map[string]caddyhttp.MiddlewareHandler, error) {
	encoders := map[string]caddyhttp.MiddlewareHandler{}
	for _, names := range []string{"zstd gzip", "gzip zstd", "zstd", "gzip"} {
		prefer := strings.Split(names, " ")
		encodings := map[string]any{}
		for _, name := range prefer {
			encodings[name] = struct{}{}
		}
		config, err := json.Marshal(map[string]any{"encodings": encodings, "prefer": prefer})
		if err != nil {
			return nil, err
		}
		if encoders[names], err = loadHandler(ctx, "http.handlers.encode", string(config)); err != nil {
			return nil, err
		}
	}
	return encoders, nil
}

// proxyFor returns the proxy for a request, by its route's profile.
func (a *Apps) proxyFor(r *http.Request, route *hop3.Route) caddyhttp.MiddlewareHandler {
	p := route.Policy
	if p == nil {
		return a.proxy
	}
	if p.BufferRequests {
		r.TransferEncoding = nil // of a body that is read whole the length is known
	}
	return a.proxies[profile{p.Upstream == hop3.UpstreamH2C, p.BufferRequests, p.BufferResponses}]
}

func loadHandler(ctx caddy.Context, id, config string) (caddyhttp.MiddlewareHandler, error) {
	mod, err := ctx.LoadModuleByID(id, json.RawMessage(config))
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", id, err)
	}
	return mod.(caddyhttp.MiddlewareHandler), nil
}

// forward has an instance serve the request, directly or by Caddy's reverse
// proxy.
func (a *Apps) forward(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, claim *routing.Claim) (err error) {
	at := &attempt{all: a.instances, claim: claim}
	defer a.noteBroken(r, at)
	if goesDirect(r, claim.Route()) {
		err = a.direct(w, r, at)
	} else {
		defer at.end(false) // also of an answer that breaks off
		caddyhttp.SetVar(r.Context(), attemptVar, at)
		err = a.proxyFor(r, claim.Route()).ServeHTTP(w, r, next)
		at.end(err != nil && r.Context().Err() == nil && !errors.As(err, new(*http.MaxBytesError)))
	}
	if err == nil {
		return nil
	}
	return a.failed(w, r, claim, err)
}

// noteBroken logs a response that the app began and did not end. The proxy
// panics then, for the client's connection to break too.
func (a *Apps) noteBroken(r *http.Request, at *attempt) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler && r.Context().Err() == nil && (at.broken == nil || causeOf(r.Context(), at.broken) != causeClientLeft) {
		at.claim.Fail()
		route := at.claim.Route()
		a.logger.Warn("an app broke off its response",
			zap.String("app", route.App), zap.Int("release", route.Release), zap.String("host", r.Host), zap.String("path", r.URL.Path))
	}
	panic(p)
}

// failed answers a request that no instance answered.
func (a *Apps) failed(w http.ResponseWriter, r *http.Request, claim *routing.Claim, err error) error {
	var handlerErr caddyhttp.HandlerError
	if !errors.As(err, &handlerErr) {
		handlerErr = caddyhttp.Error(http.StatusBadGateway, err)
	}
	route := claim.Route()
	slow := errors.Is(context.Cause(r.Context()), errSlowApp)
	if slow {
		handlerErr.StatusCode = http.StatusGatewayTimeout
	} else if r.Context().Err() != nil { // nobody is there to read a page
		return nil
	}
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return a.pages.write(w, r, pageTooLarge)
	}
	if len(route.Upstreams) == 0 {
		return a.pages.write(w, r, stoppedPage(route.Status))
	}
	claim.Fail()
	a.logger.Warn("an app did not answer",
		zap.String("app", route.App), zap.Int("release", route.Release),
		zap.String("request", handlerErr.ID), zap.Int("status", handlerErr.StatusCode),
		zap.String("cause", string(causeOf(r.Context(), err))), zap.Error(handlerErr.Err))
	return a.pages.write(w, r, failedPage(handlerErr.StatusCode, handlerErr.ID))
}

// hostOnly returns a request's host without its port.
func hostOnly(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
		if strings.Contains(h, ":") {
			host = "[" + h + "]"
		}
	}
	return host
}
