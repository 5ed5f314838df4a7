package addons

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/smtp"
)

func init() {
	caddy.RegisterModule(new(Email))
}

// Email gives apps a mail server to send by, and a login there: one that the
// user says, or the one that the server sends its notices by. It makes nothing
// of its own.
type Email struct {
	server hop3.AddonServer
	roots  *x509.CertPool // for tests with an authority of their own; nil for the machine's
}

// CaddyModule describes the module.
func (*Email) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.addons.email", New: func() caddy.Module { return new(Email) }}
}

// Name returns "email".
func (*Email) Name() string { return "email" }

// Open keeps the server.
func (p *Email) Open(s hop3.AddonServer) error {
	p.server = s
	return nil
}

// The details of an addon. The first five are options, too, and the password is
// what the user gives as a secret.
const (
	mailHost      = "host"
	mailPort      = "port"
	mailUser      = "user"
	mailFrom      = "from"
	mailTLS       = "tls" // starttls, tls or none
	mailPassword  = "password"
	mailInherited = "inherited" // "true": it is the server's
)

var mailOptions = []string{mailHost, mailPort, mailUser, mailFrom, mailTLS}

// Plan takes the options, and the password that is in the details. Without a
// host it is the server's mail server.
func (p *Email) Plan(_ context.Context, a hop3.Addon) (hop3.AddonDetails, error) {
	d := hop3.AddonDetails{}
	for option, values := range a.Options {
		if !slices.Contains(mailOptions, option) {
			return nil, hop3.Errorf(hop3.CodeInvalid, "an addon of the type email has no option %q", option).
				WithHint("It has %s; and a password, which is no option.", strings.Join(mailOptions, ", "))
		}
		if len(values) != 1 || values[0] == "" || strings.ContainsFunc(values[0], isControl) {
			return nil, hop3.Errorf(hop3.CodeInvalid, "the option %s takes one value, of one line", option)
		}
		d[option] = values[0]
	}
	if given := a.Details[mailPassword]; given != "" {
		d[mailPassword] = given
	}
	if d[mailHost] == "" {
		return p.inherit(d)
	}
	if d[mailFrom] == "" {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the option from is missing: the address that the app's messages come from")
	}
	return completeMail(d)
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// inherit takes all but the sender from the server.
func (p *Email) inherit(d hop3.AddonDetails) (hop3.AddonDetails, error) {
	for _, option := range []string{mailPort, mailUser, mailTLS, mailPassword} {
		if d[option] != "" {
			return nil, hop3.Errorf(hop3.CodeInvalid, "the %s needs the option host, of whose mail server it is", option)
		}
	}
	set := p.server.Setting
	if set("SMTP_HOST") == "" {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "this server has no mail server that the addon could have, and the option host names no other").
			WithHint("Say host, user and from; or set SMTP_HOST in the server's settings.")
	}
	if d[mailFrom] == "" {
		d[mailFrom] = set("SMTP_FROM")
	}
	if d[mailFrom] == "" {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the option from is missing: the address that the app's messages come from")
	}
	for detail, key := range map[string]string{mailHost: "SMTP_HOST", mailPort: "SMTP_PORT", mailTLS: "SMTP_TLS", mailUser: "SMTP_USER", mailPassword: "SMTP_PASSWORD"} {
		if value := set(key); value != "" {
			d[detail] = value
		}
	}
	d[mailInherited] = "true"
	return completeMail(d)
}

// completeMail checks details and adds what follows from the others.
func completeMail(d hop3.AddonDetails) (hop3.AddonDetails, error) {
	if hop3.ValidateHost(d[mailHost]) != nil && net.ParseIP(d[mailHost]) == nil && d[mailHost] != "localhost" {
		return nil, hop3.Errorf(hop3.CodeInvalid, "%q cannot be a mail server: expected a name or an address, without a port", d[mailHost])
	}
	if d[mailPort] == "" {
		d[mailPort] = "587"
		if d[mailTLS] == "tls" {
			d[mailPort] = "465"
		}
	}
	if port, err := strconv.Atoi(d[mailPort]); err != nil || port < 1 || port > 65535 {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the port %q is none: expected a number from 1 to 65535, usually 587 or 465", d[mailPort])
	}
	if d[mailTLS] == "" {
		d[mailTLS] = "starttls"
		if d[mailPort] == "465" {
			d[mailTLS] = "tls"
		}
	}
	if !slices.Contains([]string{"starttls", "tls", "none"}, d[mailTLS]) {
		return nil, hop3.Errorf(hop3.CodeInvalid, "tls cannot be %q: expected starttls, tls or none", d[mailTLS])
	}
	if (d[mailUser] == "") != (d[mailPassword] == "") {
		return nil, hop3.Errorf(hop3.CodeInvalid, "a login has a user and a password; one of them is missing")
	}
	if strings.ContainsFunc(d[mailPassword], isControl) {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the password has more than one line, or a control character in it")
	}
	if d[mailTLS] == "none" && d[mailUser] != "" && !onLoopback(d[mailHost]) {
		return nil, hop3.Errorf(hop3.CodeInvalid, "without TLS the password would be sent as it is, to %s", d[mailHost]).
			WithHint("Use tls=starttls or tls=tls; none is for a mail server on this machine, or for one that needs no login.")
	}
	from, err := mail.ParseAddress(d[mailFrom])
	if err != nil {
		return nil, hop3.Errorf(hop3.CodeInvalid, "%q is no address that messages can come from", d[mailFrom])
	}
	d[mailFrom] = from.Address
	if from.Name != "" {
		d[mailFrom] = from.String()
	}
	return d, nil
}

func onLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (p *Email) mailServer(d hop3.AddonDetails) smtp.Server {
	port, _ := strconv.Atoi(d[mailPort]) // Plan has seen to it
	return smtp.Server{Host: d[mailHost], Port: port, User: d[mailUser], Password: d[mailPassword], TLS: d[mailTLS], Roots: p.roots}
}

// Create makes nothing, but tries the login.
func (p *Email) Create(ctx context.Context, a hop3.Addon) error {
	session, err := p.mailServer(a.Details).Login(ctx)
	if err != nil {
		return err
	}
	return session.Quit()
}

// Destroy has nothing to remove.
func (*Email) Destroy(ctx context.Context, _ hop3.Addon) error { return ctx.Err() }

// Variables are in the spellings of most frameworks: SMTP_ by itself, EMAIL_ of
// Django, MAIL_ of Flask and of Laravel.
func (*Email) Variables(a hop3.Addon) hop3.Env {
	d := a.Details
	address := d[mailFrom]
	if from, err := mail.ParseAddress(d[mailFrom]); err == nil {
		address = from.Address
	}
	starttls, implicit := d[mailTLS] == "starttls", d[mailTLS] == "tls"
	env := hop3.Env{
		"SMTP_HOST": d[mailHost], "SMTP_PORT": d[mailPort], "SMTP_FROM": d[mailFrom], "SMTP_TLS": d[mailTLS],
		"SMTP_URL":   smtpURL(d),
		"EMAIL_HOST": d[mailHost], "EMAIL_PORT": d[mailPort], "DEFAULT_FROM_EMAIL": d[mailFrom],
		"EMAIL_USE_TLS": mailBool(starttls), "EMAIL_USE_SSL": mailBool(implicit),
		"MAIL_MAILER": "smtp", "MAIL_HOST": d[mailHost], "MAIL_SERVER": d[mailHost], "MAIL_PORT": d[mailPort],
		"MAIL_USE_TLS": mailBool(starttls), "MAIL_USE_SSL": mailBool(implicit),
		"MAIL_DEFAULT_SENDER": d[mailFrom], "MAIL_FROM_ADDRESS": address,
	}
	switch {
	case starttls:
		env["MAIL_ENCRYPTION"] = "tls"
	case implicit:
		env["MAIL_ENCRYPTION"] = "ssl"
	}
	if d[mailUser] != "" {
		maps.Copy(env, hop3.Env{
			"SMTP_USER": d[mailUser], "SMTP_USERNAME": d[mailUser], "SMTP_PASSWORD": d[mailPassword],
			"EMAIL_HOST_USER": d[mailUser], "EMAIL_HOST_PASSWORD": d[mailPassword],
			"MAIL_USERNAME": d[mailUser], "MAIL_PASSWORD": d[mailPassword],
		})
	}
	return env
}

func mailBool(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

// smtpURL is the server and the login as one URL: smtps where TLS comes first.
func smtpURL(d hop3.AddonDetails) string {
	u := url.URL{Scheme: "smtp", Host: net.JoinHostPort(d[mailHost], d[mailPort])}
	if d[mailTLS] == "tls" {
		u.Scheme = "smtps"
	}
	if d[mailUser] != "" {
		u.User = url.UserPassword(d[mailUser], d[mailPassword])
	}
	return u.String()
}

// Endpoint is the mail server.
func (*Email) Endpoint(a hop3.Addon) hop3.AddonEndpoint {
	port, _ := strconv.Atoi(a.Details[mailPort])
	return hop3.AddonEndpoint{Host: a.Details[mailHost], Port: port, URL: smtpURL(a.Details)}
}

// Status logs in.
func (p *Email) Status(ctx context.Context, a hop3.Addon) ([]hop3.AddonFact, error) {
	session, err := p.mailServer(a.Details).Login(ctx)
	if err != nil {
		return nil, err
	}
	if err := session.Quit(); err != nil {
		return nil, err
	}
	login := "none"
	if a.Details[mailUser] != "" {
		login = a.Details[mailUser] + ", accepted"
	}
	whose := "the addon's own"
	if a.Details[mailInherited] == "true" {
		whose = "the server's, by its SMTP_ settings"
	}
	return []hop3.AddonFact{
		{Property: "Mail server", Value: net.JoinHostPort(a.Details[mailHost], a.Details[mailPort])},
		{Property: "TLS", Value: a.Details[mailTLS]},
		{Property: "Login", Value: login},
		{Property: "Settings", Value: whose},
		{Property: "From", Value: a.Details[mailFrom]},
	}, nil
}

// Rotated takes the login that the server has now. One that the user gave is
// changed where it was made, and nobody tells us.
func (p *Email) Rotated(_ context.Context, a hop3.Addon) (hop3.AddonDetails, error) {
	if a.Details[mailInherited] != "true" {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the password of %s is one that you gave, and Hop3 can make no other", a.ID()).
			WithHint("Change it where the account is, make an addon with the new one, attach it and promote it, and destroy this one.")
	}
	return p.inherit(hop3.AddonDetails{mailFrom: a.Details[mailFrom]})
}

// Revoke has nothing to end: the login is not ours.
func (*Email) Revoke(context.Context, hop3.Addon, hop3.AddonDetails) error { return nil }

// Actions are the commands of e-mail addons.
func (p *Email) Actions() []hop3.AddonAction {
	return []hop3.AddonAction{{
		Name: "test", Summary: "Send a message and show what the server answers", Usage: "<address>", Changes: true, Run: p.test,
	}}
}

func (p *Email) test(ctx context.Context, a hop3.Addon, args []string) (hop3.AddonReport, error) {
	if len(args) != 1 {
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "expected the address that the message goes to")
	}
	to, err := mail.ParseAddress(args[0])
	if err != nil || strings.ContainsFunc(args[0], isControl) {
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "%q is no address", args[0])
	}
	from, err := mail.ParseAddress(a.Details[mailFrom])
	if err != nil {
		return hop3.AddonReport{}, err
	}
	session, err := p.mailServer(a.Details).Login(ctx)
	if err != nil {
		return hop3.AddonReport{}, err
	}
	answer, err := session.Send(smtp.Message{
		From: from, To: to, Subject: "Test of the addon " + a.Name,
		Text: "This message was sent by the addon " + a.Name + ", to see whether it works.\r\n",
	})
	if err != nil {
		return hop3.AddonReport{}, errors.Join(err, session.Close())
	}
	if err := session.Quit(); err != nil {
		return hop3.AddonReport{}, err
	}
	return hop3.AddonReport{Text: fmt.Sprintf("%s took the message to %s and answered: %s", a.Details[mailHost], to.Address, answer)}, nil
}

var (
	_ hop3.AddonProvider = (*Email)(nil)
	_ hop3.AddonRotator  = (*Email)(nil)
	_ hop3.AddonActions  = (*Email)(nil)
	_ caddy.Module       = (*Email)(nil)
)
