package addons

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"maps"
	"math/big"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/hop3test"
)

const (
	testUser     = "app@example.com"
	testPassword = "p@ss:w/ord?of-the-test"
)

// mailServer is a mail server of the test's own. It takes nothing without a
// login.
type mailServer struct {
	Port  string
	roots *x509.CertPool
	ways  []string // of AUTH

	mu       sync.Mutex
	messages []string
}

// startMailServer starts a mail server that speaks TLS as mode says: starttls,
// tls or none.
func startMailServer(t *testing.T, mode string, ways ...string) *mailServer {
	t.Helper()
	certificate, roots := mailCertificate(t)
	m := &mailServer{roots: roots, ways: ways}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &mailInbox{server: m}, nil }))
	server.Domain, server.AllowInsecureAuth = "mail.test", mode == "none"
	server.ErrorLog = quiet{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	switch mode {
	case "starttls":
		server.TLSConfig = config
	case "tls":
		listener = tls.NewListener(listener, config)
	}
	done := make(chan struct{})
	go func() { _ = server.Serve(listener); close(done) }()
	t.Cleanup(func() { server.Close(); <-done })
	m.Port = strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	return m
}

// quiet is for what clients that give up make the server say.
type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func mailCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// mailInbox is one connection to a mailServer.
type mailInbox struct {
	server   *mailServer
	loggedIn bool
	to       []string
}

func (*mailInbox) Reset()        {}
func (*mailInbox) Logout() error { return nil }

func (b *mailInbox) AuthMechanisms() []string { return b.server.ways }

func (b *mailInbox) Auth(way string) (sasl.Server, error) {
	check := func(user, password string) error {
		if user != testUser || password != testPassword {
			return smtp.ErrAuthFailed
		}
		b.loggedIn = true
		return nil
	}
	if way == sasl.Login {
		return &loginServer{check: check}, nil
	}
	return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
}

// loginServer is the server's side of LOGIN, which the library has no more.
type loginServer struct {
	check func(user, password string) error
	user  *string
}

func (l *loginServer) Next(answer []byte) ([]byte, bool, error) {
	switch {
	case answer == nil:
		return []byte("Username:"), false, nil
	case l.user == nil:
		user := string(answer)
		l.user = &user
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(*l.user, string(answer))
}

func (b *mailInbox) Mail(string, *smtp.MailOptions) error {
	if !b.loggedIn {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (b *mailInbox) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such user here"}
	}
	b.to = append(b.to, to)
	return nil
}

func (b *mailInbox) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	b.server.messages = append(b.server.messages, string(text))
	return err
}

func mailOptionsFor(m *mailServer, mode string) map[string][]string {
	return map[string][]string{mailHost: {"127.0.0.1"}, mailPort: {m.Port}, mailUser: {testUser}, mailFrom: {"Blog <blog@example.com>"}, mailTLS: {mode}}
}

func TestEmail(t *testing.T) {
	m := startMailServer(t, "none", sasl.Plain)
	hop3test.Addon(t, new(Email), hop3test.AddonServer{}, hop3test.AddonClient{
		Options: mailOptionsFor(m, "none"), Secrets: hop3.AddonDetails{mailPassword: testPassword},
		Variables: []string{
			"SMTP_HOST", "SMTP_PORT", "SMTP_USER", "SMTP_USERNAME", "SMTP_PASSWORD", "SMTP_FROM", "SMTP_TLS", "SMTP_URL",
			"EMAIL_HOST", "EMAIL_PORT", "EMAIL_HOST_USER", "EMAIL_HOST_PASSWORD", "EMAIL_USE_TLS", "EMAIL_USE_SSL", "DEFAULT_FROM_EMAIL",
			"MAIL_MAILER", "MAIL_HOST", "MAIL_SERVER", "MAIL_PORT", "MAIL_USERNAME", "MAIL_PASSWORD", "MAIL_USE_TLS", "MAIL_USE_SSL",
			"MAIL_DEFAULT_SENDER", "MAIL_FROM_ADDRESS",
		},
	})
}

// emailOn returns an addon that a plan has settled.
func emailOn(t *testing.T, p *Email, options map[string][]string, password string) hop3.Addon {
	t.Helper()
	a := hop3.Addon{Type: "email", Name: "mail", Options: options, Details: hop3.AddonDetails{}}
	if password != "" {
		a.Details[mailPassword] = password
	}
	var err error
	if a.Details, err = p.Plan(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestEmailSends(t *testing.T) {
	for _, c := range []struct{ mode, way string }{{"starttls", sasl.Plain}, {"starttls", sasl.Login}, {"tls", sasl.Plain}, {"none", sasl.Login}} {
		t.Run(c.mode+" "+c.way, func(t *testing.T) {
			m := startMailServer(t, c.mode, c.way)
			p := &Email{server: hop3test.AddonServer{}, roots: m.roots}
			a := emailOn(t, p, mailOptionsFor(m, c.mode), testPassword)
			if err := p.Create(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			report, err := p.test(t.Context(), a, []string{"Ada Müller <ada@example.org>"})
			if err != nil || !strings.Contains(report.Text, "took the message to ada@example.org and answered: 250 ") {
				t.Errorf("%q, %v", report.Text, err)
			}
			if len(m.messages) != 1 {
				t.Fatalf("%d messages came", len(m.messages))
			}
			message, err := mail.ReadMessage(strings.NewReader(m.messages[0]))
			if err != nil || message.Header.Get("From") != `"Blog" <blog@example.com>` || message.Header.Get("To") != "=?utf-8?q?Ada_M=C3=BCller?= <ada@example.org>" {
				t.Errorf("%v, %v", message.Header, err)
			}
			_, err = p.test(t.Context(), a, []string{"nobody@example.org"})
			if hop3.CodeOf(err) != hop3.CodeUnavailable || !strings.Contains(err.Error(), "No such user here") {
				t.Errorf("a recipient that is refused: %v", err)
			}
			for what, detail := range map[string]string{"password": mailPassword, "user": mailUser} {
				wrong := a
				wrong.Details = maps.Clone(a.Details)
				wrong.Details[detail] = "wrong-" + what
				_, err := p.Status(t.Context(), wrong)
				if hop3.CodeOf(err) != hop3.CodeUnavailable || !strings.Contains(err.Error(), "refuses the login of") || strings.Contains(err.Error(), "wrong-password") || strings.Contains(err.Error(), testPassword) {
					t.Errorf("a wrong %s: %v", what, err)
				}
			}
		})
	}
}

func TestEmailWithoutTrust(t *testing.T) {
	for _, mode := range []string{"starttls", "tls"} {
		m := startMailServer(t, mode, sasl.Plain)
		p := &Email{server: hop3test.AddonServer{}} // knows only the machine's authorities
		_, err := p.Status(t.Context(), emailOn(t, p, mailOptionsFor(m, mode), testPassword))
		var unknown x509.UnknownAuthorityError
		if !errors.As(err, &unknown) || hop3.CodeOf(err) != hop3.CodeUnavailable {
			t.Errorf("%s with a certificate of nobody's: %v", mode, err)
		}
	}
	plain := startMailServer(t, "none", sasl.Plain)
	p := &Email{server: hop3test.AddonServer{}}
	if _, err := p.Status(t.Context(), emailOn(t, p, mailOptionsFor(plain, "starttls"), testPassword)); err == nil || !strings.Contains(err.Error(), "does not begin TLS") {
		t.Errorf("starttls where there is none: %v", err)
	}
}

func TestEmailInherits(t *testing.T) {
	m := startMailServer(t, "none", sasl.Plain)
	server := hop3test.AddonServer{Settings: map[string]string{
		"SMTP_HOST": "127.0.0.1", "SMTP_PORT": m.Port, "SMTP_TLS": "none", "SMTP_USER": testUser, "SMTP_PASSWORD": testPassword, "SMTP_FROM": "hop3@example.com",
	}}
	p := &Email{server: server}
	a := emailOn(t, p, nil, "")
	if err := p.Create(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if env := p.Variables(a); env["SMTP_URL"] != "smtp://app%40example.com:p%40ss%3Aw%2Ford%3Fof-the-test@127.0.0.1:"+m.Port || env["DEFAULT_FROM_EMAIL"] != "hop3@example.com" {
		t.Errorf("%v", env)
	}
	if a = emailOn(t, p, map[string][]string{mailFrom: {"blog@example.com"}}, ""); a.Details[mailFrom] != "blog@example.com" {
		t.Errorf("%v", a.Details)
	}
	server.Settings["SMTP_PASSWORD"] = "another-password"
	details, err := p.Rotated(t.Context(), a)
	if err != nil || details[mailPassword] != "another-password" || details[mailFrom] != "blog@example.com" {
		t.Errorf("rotated to %v, %v", details, err)
	}
}

func TestEmailRefuses(t *testing.T) {
	good := map[string]string{mailHost: "mail.example.com", mailUser: "ada", mailFrom: "ada@example.com", mailPassword: "secret"}
	for what, c := range map[string]struct {
		set  map[string]string
		want string
	}{
		"no host, but a user":   {map[string]string{mailHost: ""}, "needs the option host"},
		"no sender":             {map[string]string{mailFrom: ""}, "from is missing"},
		"no password":           {map[string]string{mailPassword: ""}, "one of them is missing"},
		"no user":               {map[string]string{mailUser: ""}, "one of them is missing"},
		"a port in the host":    {map[string]string{mailHost: "mail.example.com:587"}, "without a port"},
		"a URL as host":         {map[string]string{mailHost: "https://mail.example.com/"}, "cannot be a mail server"},
		"no port":               {map[string]string{mailPort: "70000"}, "expected a number"},
		"an unknown TLS":        {map[string]string{mailTLS: "ssl"}, "expected starttls, tls or none"},
		"no TLS":                {map[string]string{mailTLS: "none"}, "without TLS the password"},
		"no address":            {map[string]string{mailFrom: "ada"}, "no address"},
		"another header":        {map[string]string{mailFrom: "ada@example.com\r\nBcc: all@example.com"}, "one line"},
		"a command in the user": {map[string]string{mailUser: "ada\r\nQUIT"}, "one line"},
		"a password of lines":   {map[string]string{mailPassword: "a\nb"}, "more than one line"},
		"an unknown option":     {map[string]string{"colour": "red"}, `no option "colour"`},
	} {
		all := maps.Clone(good)
		maps.Copy(all, c.set)
		a := hop3.Addon{Options: map[string][]string{}, Details: hop3.AddonDetails{mailPassword: all[mailPassword]}}
		for option, value := range all {
			if option != mailPassword && value != "" {
				a.Options[option] = []string{value}
			}
		}
		_, err := (&Email{server: hop3test.AddonServer{}}).Plan(t.Context(), a)
		if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for port, want := range map[string]string{"": "587 starttls", "465": "465 tls", "2525": "2525 starttls"} {
		a := hop3.Addon{Options: map[string][]string{mailHost: {"mail.example.com"}, mailFrom: {"ada@example.com"}}}
		if port != "" {
			a.Options[mailPort] = []string{port}
		}
		d, err := (&Email{server: hop3test.AddonServer{}}).Plan(t.Context(), a)
		if got := d[mailPort] + " " + d[mailTLS]; err != nil || got != want {
			t.Errorf("port %q: %s, %v", port, got, err)
		}
	}
}
