package rpc

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/command"
	"github.com/abilian/hop3/hop3/platform"
)

// identity is who sent a request; user is nil for strangers.
type identity struct {
	user   *hop3.User
	token  hop3.Token
	source string
	// address is where they come from, "local" for the host's own socket.
	address string
}

// actor returns a user as the platform knows them.
func (id identity) actor() platform.Actor { return command.ActorOf(*id.user, id.token) }

// identify finds out who sends a request. A token that proves nothing makes a
// stranger; the error is another one, of the server.
func (h *Handler) identify(r *http.Request) (identity, error) {
	id := identity{source: source(r), address: address(r)}
	text := h.bearer(r)
	if text == "" {
		id.user = h.Host
		return id, nil
	}
	user, token, err := h.Platform.Authenticate(r.Context(), text)
	if hop3.CodeOf(err) == hop3.CodeUnauthorized {
		return id, nil
	}
	if err != nil {
		return id, err
	}
	id.user, id.token = &user, token
	return id, nil
}

// users lets only users through to next.
func (h *Handler) users(next func(http.ResponseWriter, *http.Request, identity)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := h.identify(r)
		switch {
		case err != nil:
			h.fail(w, r, err)
		case id.user == nil:
			h.fail(w, r, hop3.Errorf(hop3.CodeUnauthorized, "Authentication required."))
		default:
			ctx, leave, err := h.Platform.Present(r.Context(), id.actor())
			if err != nil {
				h.fail(w, r, err)
				return
			}
			defer leave()
			next(w, r.WithContext(ctx), id)
		}
	}
}

// bearer returns the token of a request: the header's, else the cookie's.
func (h *Handler) bearer(r *http.Request) string {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "bearer") {
		return strings.TrimSpace(token)
	}
	return h.cookieToken(r)
}

// address returns where a request comes from.
func address(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "local" // a unix socket has none
	}
	return at.Addr().Unmap().WithZone("").String()
}

// source returns what login attempts are counted by: the address, for IPv6 the
// network, since one host has all of that.
func source(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if addr = addr.Unmap().WithZone(""); addr.Is6() && !addr.IsLoopback() {
		network, _ := addr.Prefix(64) // 64 bits are never too many
		return network.String()
	}
	return addr.String()
}
