package caddymodules

import (
	"net/http"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3/waf"
)

// firewall is the firewall of one policy. A firewall that could not be made
// lets nothing pass.
type firewall struct {
	guard  *waf.Guard
	policy *waf.Policy
}

// fence makes the firewall of a policy that wants one.
func (a *Apps) fence(p *policy) {
	if p.WAF == nil {
		return
	}
	p.firewall = &firewall{}
	if a.core == nil || a.core.Guard == nil {
		a.logger.Error("an app wants a firewall, and there is none: its requests are refused")
		return
	}
	compiled, err := a.core.Guard.Compile(p.app, *p.WAF)
	if err != nil {
		a.logger.Error("an app's firewall cannot be used: its requests are refused", zap.String("app", p.app), zap.Error(err))
		return
	}
	p.firewall = &firewall{guard: a.core.Guard, policy: compiled}
}

// challenge refuses the clients and paths that the firewall does not let in.
// done says that the request was answered here.
func (a *Apps) challenge(w http.ResponseWriter, r *http.Request, p *policy) (done bool, err error) {
	if p.firewall == nil {
		return false, nil
	}
	if p.firewall.policy == nil {
		return true, a.pages.write(w, r, uninspectedPage(r))
	}
	return a.rule(w, r, p.firewall.guard.Admit(p.firewall.policy, visitOf(r)))
}

// inspect refuses what the rules of the firewall find an attack in. Of the body
// it reads the beginning, which the app gets nevertheless.
func (a *Apps) inspect(w http.ResponseWriter, r *http.Request, p *policy) (done bool, err error) {
	if p.firewall == nil {
		return false, nil
	}
	body := r.Body
	if body == http.NoBody || tunnel(r) {
		body = nil
	}
	rest, verdict := p.firewall.guard.Inspect(r.Context(), p.firewall.policy, visitOf(r), body)
	if body != nil {
		r.Body = rest
	}
	return a.rule(w, r, verdict)
}

func (a *Apps) rule(w http.ResponseWriter, r *http.Request, verdict waf.Verdict) (done bool, err error) {
	switch verdict {
	case waf.Pass:
		return false, nil
	case waf.Refuse:
		return true, a.pages.write(w, r, blockedPage(r))
	case waf.TooLarge:
		return true, a.pages.write(w, r, pageTooLarge)
	default:
		return true, a.pages.write(w, r, uninspectedPage(r))
	}
}

// tunnel reports whether what looks like a body is a stream in both
// directions: a WebSocket over HTTP/2 (RFC 8441) or HTTP/3.
func tunnel(r *http.Request) bool {
	return r.Method == http.MethodConnect && r.ProtoMajor > 1 && (len(r.Header[":protocol"]) > 0 || r.Proto == "websocket")
}

func visitOf(r *http.Request) *waf.Visit {
	method := r.Method
	if tunnel(r) {
		method = http.MethodGet // as it would be over HTTP/1.1
	}
	addr, _ := clientAddr(r) // without one nobody is let in by it
	return &waf.Visit{
		Request: waf.Request{Client: addr, Method: method, URI: r.URL.RequestURI(), Proto: r.Proto, Host: r.Host,
			Header: r.Header, TransferEncoding: r.TransferEncoding},
		Path: r.URL.EscapedPath(),
		ID:   r.Header.Get("X-Request-Id"),
	}
}

func blockedPage(r *http.Request) page {
	return page{Status: http.StatusForbidden, Title: "Refused", Text: "The firewall of this app does not let this request pass. If it should, tell the app's owner the number below.",
		Request: r.Header.Get("X-Request-Id")}
}

func uninspectedPage(r *http.Request) page {
	return page{Status: http.StatusServiceUnavailable, Title: "Not now", Text: "The firewall of this app could not look at this request. Please try again in a moment.",
		RetryAfter: 5, Request: r.Header.Get("X-Request-Id")}
}
