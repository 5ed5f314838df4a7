package rpc

import (
	"fmt"
	"net/http"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/platform"
)

func (h *Handler) beginSignOn(w http.ResponseWriter, r *http.Request) {
	address, sealed, err := h.Platform.BeginSignOn(r.Context(), nextPage(r.FormValue("next")))
	if err != nil {
		h.showError(w, r, err)
		return
	}
	h.keepAttempt(w, r, sealed)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, address, http.StatusSeeOther)
}

// beginLink links single sign-on to the account that is logged in.
func (h *Handler) beginLink(w http.ResponseWriter, r *http.Request, id identity) {
	address, sealed, err := h.Platform.BeginLink(r.Context(), id.actor(), profilePath)
	if err != nil {
		h.showError(w, r, err)
		return
	}
	h.keepAttempt(w, r, sealed)
	// No redirect: our forms lead nowhere but here, and browsers see to that.
	h.show(w, r, http.StatusOK, "message", loginView{Title: "Link your account", Go: address,
		Text: "Log in at your provider. From then on, who logs in there as you do now is you here."})
}

// keepAttempt has the browser keep what it has to bring back. A redirect from
// the provider brings it: SameSite=Lax lets that.
func (h *Handler) keepAttempt(w http.ResponseWriter, r *http.Request, sealed string) {
	h.setCookie(w, r, attemptCookie, sealed, time.Now().Add(10*time.Minute))
}

// finishSignOn is where the provider sends the browser back to.
func (h *Handler) finishSignOn(w http.ResponseWriter, r *http.Request) {
	id, err := h.identify(r)
	if err != nil {
		h.showError(w, r, err)
		return
	}
	var who platform.Actor
	if id.user != nil {
		who = id.actor()
		who.Source = id.address
	}
	query := r.URL.Query()
	in, err := h.Platform.FinishSignOn(r.Context(), who, source(r), h.onlyCookie(r, attemptCookie), hop3.SignOnAnswer{
		State: query.Get("state"), Code: query.Get("code"), Issuer: query.Get("iss"), Error: query.Get("error"),
	})
	h.setCookie(w, r, attemptCookie, "", time.Time{})
	if err == nil && in.Token == "" && in.Link == "" { // linked
		http.Redirect(w, r, nextPage(in.Next), http.StatusSeeOther)
		return
	}
	h.signedIn(w, r, in, err)
}

func (h *Handler) devicePage(w http.ResponseWriter, r *http.Request, id identity) {
	h.show(w, r, http.StatusOK, "device", loginView{Title: "Let a command line in", Username: id.user.Username})
}

// device takes the code of a command line, then what its user decides.
func (h *Handler) device(w http.ResponseWriter, r *http.Request, id identity) {
	code, decision := r.PostForm.Get("code"), r.PostForm.Get("decision")
	var waiting hop3.WebLogin
	var err error
	switch decision {
	case "allow", "refuse":
		err = h.Platform.DecideWebLogin(r.Context(), id.actor(), code, decision == "allow")
	case "":
		waiting, err = h.Platform.WebLogin(r.Context(), id.actor(), code)
	default:
		err = hop3.Errorf(hop3.CodeInvalid, "One can let it in, or refuse it.")
	}
	switch {
	case hop3.CodeOf(err) == hop3.CodeNotFound:
		h.show(w, r, http.StatusNotFound, "device", loginView{Title: "Let a command line in", Username: id.user.Username, Wrong: hop3.MessageOf(err)})
	case err != nil:
		h.showError(w, r, err)
	case decision == "allow":
		h.show(w, r, http.StatusOK, "message", loginView{Title: "It is in", Text: "Your command line goes on by itself. You can close this page."})
	case decision == "refuse":
		h.show(w, r, http.StatusOK, "message", loginView{Title: "Refused", Text: "The command line did not get in."})
	default:
		h.show(w, r, http.StatusOK, "allow", loginView{Title: "Is this yours?", Username: id.user.Username, Code: waiting.Code, From: waiting.Source, Ago: ago(time.Since(waiting.Begun))})
	}
}

func ago(d time.Duration) string {
	if d < time.Minute {
		return "just now"
	}
	return fmt.Sprintf("%d minutes ago", int(d.Minutes()))
}
