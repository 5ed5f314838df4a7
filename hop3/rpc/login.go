package rpc

import (
	"bytes"
	_ "embed"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/pages"
	"github.com/abilian/hop3/hop3/platform"
)

//go:embed login.html
var loginHTML string

var loginPages = template.Must(pages.Parse("pages", loginHTML))

const (
	loginPath   = "/auth/login"
	profilePath = "/auth/profile"
	devicePath  = "/auth/device"
	signOnPath  = "/auth/oidc/"
	maxForm     = 64 << 10
)

// loginView is what a page of a login shows.
type loginView struct {
	Title    string
	Text     string
	Wrong    string
	Next     string
	Login    string // the address of the login page
	Username string
	SignOn   string // what the button of single sign-on says; "" for none
	Link     string
	Linked   string
	Until    string
	Code     string
	From     string
	Ago      string
	Go       string // an address of the provider's
}

func (h *Handler) routeLogin() {
	h.mux.HandleFunc("GET "+loginPath, h.browsers(h.loginPage))
	h.mux.HandleFunc("POST "+loginPath, h.forms(h.login))
	h.mux.HandleFunc("POST /auth/code", h.forms(h.loginCode))
	h.mux.HandleFunc("POST /auth/logout", h.forms(h.logout))
	h.mux.HandleFunc("GET /auth/magic/{token}", h.browsers(h.magic))
	h.mux.HandleFunc("GET "+profilePath, h.browsers(h.loggedIn(h.profile)))
	h.mux.HandleFunc("GET "+devicePath, h.browsers(h.loggedIn(h.devicePage)))
	h.mux.HandleFunc("POST "+devicePath, h.forms(h.loggedIn(h.device)))
	h.mux.HandleFunc("GET "+signOnPath+"start", h.browsers(h.beginSignOn))
	h.mux.HandleFunc("POST "+signOnPath+"link", h.forms(h.loggedIn(h.beginLink)))
	h.mux.HandleFunc("GET "+signOnPath+"callback", h.browsers(h.finishSignOn))
}

// browsers lets only those through whose connection nobody can listen to.
func (h *Handler) browsers(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !h.encrypted(r) && !atHome(r) {
			h.show(w, r, http.StatusForbidden, "message", loginView{Title: "Not without HTTPS",
				Text: "Whoever is between you and this server could read along. Come by https://."})
			return
		}
		next(w, r.WithContext(platform.As(r.Context(), platform.Actor{Source: address(r)})))
	}
}

// forms lets only those through that were sent by our own pages.
func (h *Handler) forms(next http.HandlerFunc) http.HandlerFunc {
	return h.browsers(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if !sameOrigin(r) {
			h.show(w, r, http.StatusForbidden, "message", loginView{Title: "From elsewhere", Text: "This was sent by a page that is not this server's."})
			return
		}
		if err := r.ParseForm(); err != nil {
			h.show(w, r, http.StatusBadRequest, "message", loginView{Title: "Not a form", Text: "What was sent cannot be read."})
			return
		}
		next(w, r)
	})
}

// loggedIn sends strangers to the login page.
func (h *Handler) loggedIn(next func(http.ResponseWriter, *http.Request, identity)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := h.identify(r)
		switch {
		case err != nil:
			h.showError(w, r, err)
		case id.user == nil:
			http.Redirect(w, r, loginURL(r.URL.Path), http.StatusSeeOther)
		default:
			who := id.actor()
			who.Source = id.address
			next(w, r.WithContext(platform.As(r.Context(), who)), id)
		}
	}
}

// loginURL is the login page, from which one comes back.
func loginURL(next string) string {
	if next = nextPage(next); next == profilePath {
		return loginPath
	}
	return loginPath + "?" + url.Values{"next": {next}}.Encode()
}

func (h *Handler) loginPage(w http.ResponseWriter, r *http.Request) {
	h.showLogin(w, r, http.StatusOK, loginView{Next: r.FormValue("next")})
}

func (h *Handler) showLogin(w http.ResponseWriter, r *http.Request, status int, view loginView) {
	view.Title = "Log in"
	if view.Next = nextPage(view.Next); view.Next == profilePath {
		view.Next = ""
	}
	if h.Platform.SignOn != nil {
		view.SignOn = h.Platform.Settings.SignOn.Label
	}
	h.show(w, r, status, "login", view)
}

func (h *Handler) login(w http.ResponseWriter, r *http.Request) {
	username := r.PostForm.Get("username")
	in, err := h.Platform.SignIn(r.Context(), source(r), username, r.PostForm.Get("password"))
	in.Next = r.PostForm.Get("next")
	if code := hop3.CodeOf(err); code == hop3.CodeUnauthorized || code == hop3.CodeForbidden {
		h.showLogin(w, r, failStatus(err), loginView{Wrong: hop3.MessageOf(err), Username: username[:min(len(username), 80)], Next: in.Next})
		return
	}
	h.signedIn(w, r, in, err)
}

// signedIn ends a login, or asks for the code of a second factor.
func (h *Handler) signedIn(w http.ResponseWriter, r *http.Request, in platform.SignedIn, err error) {
	switch {
	case err != nil:
		h.showError(w, r, err)
	case in.Link != "":
		h.show(w, r, http.StatusOK, "code", loginView{Title: "Your second factor", Link: in.Link, Next: in.Next})
	default:
		token, err := h.Platform.Auth.ParseToken(in.Token)
		if err != nil {
			h.showError(w, r, err)
			return
		}
		h.setCookie(w, r, cookieName, in.Token, token.Expires)
		http.Redirect(w, r, nextPage(in.Next), http.StatusSeeOther)
	}
}

// loginCode takes the code of a second factor, and what the page before has
// proved.
func (h *Handler) loginCode(w http.ResponseWriter, r *http.Request) {
	link, next := r.PostForm.Get("link"), r.PostForm.Get("next")
	token, err := h.Platform.RedeemMagicLink(r.Context(), source(r), link, r.PostForm.Get("code"))
	if errors.Is(err, platform.ErrCodeRefused) || errors.Is(err, platform.ErrCodeNeeded) {
		h.show(w, r, http.StatusUnauthorized, "code", loginView{Title: "Your second factor", Link: link, Next: next, Wrong: hop3.MessageOf(err)})
		return
	}
	h.signedIn(w, r, platform.SignedIn{Token: token, Next: next}, err)
}

// magic takes a link that logs in once; see platform.MagicLink.
func (h *Handler) magic(w http.ResponseWriter, r *http.Request) {
	link := r.PathValue("token")
	token, err := h.Platform.RedeemMagicLink(r.Context(), source(r), link, "")
	if errors.Is(err, platform.ErrCodeNeeded) {
		h.signedIn(w, r, platform.SignedIn{Link: link}, nil)
		return
	}
	h.signedIn(w, r, platform.SignedIn{Token: token}, err)
}

func (h *Handler) logout(w http.ResponseWriter, r *http.Request) {
	id, err := h.identify(r)
	if err == nil && id.user != nil && id.token.ID != "" {
		who := id.actor()
		who.Source = id.address
		err = h.Platform.Logout(platform.As(r.Context(), who), id.token)
	}
	if err != nil {
		h.showError(w, r, err)
		return
	}
	h.setCookie(w, r, cookieName, "", time.Time{})
	http.Redirect(w, r, loginPath, http.StatusSeeOther)
}

func (h *Handler) profile(w http.ResponseWriter, r *http.Request, id identity) {
	linked, offered, err := h.Platform.Linked(r.Context(), id.actor())
	if err != nil {
		h.showError(w, r, err)
		return
	}
	view := loginView{Title: id.user.Username, Until: id.token.Expires.UTC().Format("2006-01-02 15:04 MST")}
	switch label := h.Platform.Settings.SignOn.Label; {
	case linked:
		view.Linked = label
	case offered:
		view.Link = label
	}
	h.show(w, r, http.StatusOK, "profile", view)
}

// showError shows what was wrong with a login.
func (h *Handler) showError(w http.ResponseWriter, r *http.Request, err error) {
	h.log(r, err)
	e := WireError(err)
	h.show(w, r, failStatus(err), "message", loginView{Title: "That did not work", Text: e.Message, Login: loginPath})
}

// show writes a page. It may have forms, which lead nowhere but here.
func (h *Handler) show(w http.ResponseWriter, r *http.Request, status int, name string, view loginView) {
	var page bytes.Buffer
	if err := loginPages.ExecuteTemplate(&page, name, view); err != nil {
		h.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Security-Policy", pages.FormPolicy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	writePage(w, status, "text/html; charset=utf-8", page.Bytes())
}
