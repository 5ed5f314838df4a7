package waf

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/types"
)

// setup are our own settings. They are Coraza's recommended ones but for what
// is Hop3's: the methods are those that applications use today, and so are the
// types of bodies, all of which are parsed; answers are not looked into, there is no log of its own, and a body that is longer than
// is looked into is Guard's to refuse.
const setup = `
SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess Off
SecAuditEngine Off
SecRequestBodyLimitAction ProcessPartial
SecRequestBodyJsonDepthLimit 128
SecArgumentsLimit 1000
SecUploadKeepFiles Off
SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\+|/)|text/)xml" "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "^application/[a-z0-9.-]+[+]json" "id:200006,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQBODY_ERROR "!@eq 0" "id:200002,phase:2,t:none,log,deny,status:403,msg:'The body cannot be parsed',tag:'attack-protocol'"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" "id:200003,phase:2,t:none,log,deny,status:403,msg:'The multipart body is not strict',tag:'attack-protocol'"
SecRule ARGUMENTS_LIMIT_REACHED "@eq 1" "id:200004,phase:1,t:none,log,deny,status:403,msg:'Too many arguments',tag:'attack-protocol'"
SecRule ARGUMENTS_LIMIT_REACHED "@eq 1" "id:200005,phase:2,t:none,log,deny,status:403,msg:'Too many arguments',tag:'attack-protocol'"
SecRule URI_PARSE_ERROR "@eq 1" "id:200009,phase:1,t:none,log,deny,status:403,msg:'The address cannot be parsed',tag:'attack-protocol'"
SecAction "id:900000,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level=%d"
SecAction "id:900200,phase:1,pass,t:none,nolog,setvar:'tx.allowed_methods=GET HEAD POST OPTIONS PUT PATCH DELETE'"
SecAction "id:900220,phase:1,pass,t:none,nolog,setvar:'tx.allowed_request_content_type=|application/x-www-form-urlencoded| |multipart/form-data| |text/xml| |application/xml| |application/soap+xml| |application/json| |application/merge-patch+json| |application/json-patch+json| |application/vnd.api+json| |application/ld+json| |application/activity+json| |application/cloudevents+json|'"
SecAction "id:900990,phase:1,pass,t:none,nolog,setvar:tx.crs_setup_version=4250"
`

// crs is the OWASP Core Rule Set at one paranoia.
type crs struct {
	waf   coraza.WAF
	rules map[int]bool // those that look for something
}

// newCRS compiles the rules for requests. Engines share what they have in
// common: the first takes 20 MB, each other one half a megabyte.
func newCRS(paranoia int) (Engine, error) {
	c := &crs{rules: map[int]bool{}}
	names, err := fs.Glob(coreruleset.FS, "@owasp_crs/REQUEST-*.conf")
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("the rules are not there: %v", err)
	}
	config := coraza.NewWAFConfig().WithRootFS(coreruleset.FS).
		WithRequestBodyLimit(BodyLimit).WithRequestBodyInMemoryLimit(BodyLimit).
		WithDirectives(fmt.Sprintf(setup, paranoia))
	slices.Sort(names)
	for _, name := range names {
		config = config.WithDirectives("Include " + name)
	}
	config = experimental.WAFConfigWithRuleObserver(config, func(rule types.RuleMetadata) {
		if len(attacks(rule.Tags())) > 0 {
			c.rules[rule.ID()] = true
		}
	})
	if c.waf, err = coraza.NewWAF(config); err != nil {
		return nil, fmt.Errorf("compiling the rules: %w", err)
	}
	if _, ok := c.waf.NewTransaction().(ruleRemover); !ok || len(c.rules) < 100 {
		return nil, fmt.Errorf("the engine cannot disable rules, or has none: it has %d", len(c.rules))
	}
	return c, nil
}

// ruleRemover is what Coraza's transactions are beside types.Transaction.
type ruleRemover interface{ RemoveRuleByID(id int) }

func (c *crs) Has(rule int) bool { return c.rules[rule] }

func (c *crs) Inspect(r *Request) (finding Finding, err error) {
	tx := c.waf.NewTransaction()
	defer func() {
		if closeErr := tx.Close(); err == nil && closeErr != nil {
			err = closeErr
		}
	}()
	for _, rule := range r.Disabled {
		tx.(ruleRemover).RemoveRuleByID(rule)
	}
	client := ""
	if r.Client.IsValid() {
		client = r.Client.String()
	}
	tx.ProcessConnection(client, 0, "", 0)
	tx.ProcessURI(r.URI, r.Method, r.Proto)
	addHeaders(tx, r)
	if tx.ProcessRequestHeaders() == nil {
		if err := inspectBody(tx, r.Body); err != nil {
			return Finding{}, err
		}
	}
	if !tx.IsInterrupted() {
		return Finding{}, nil
	}
	finding.Refused = true
	for _, m := range tx.MatchedRules() {
		id, kinds := m.Rule().ID(), attacks(m.Rule().Tags())
		if len(kinds) == 0 || slices.Contains(finding.Rules, id) {
			continue
		}
		finding.Rules = append(finding.Rules, id)
		for _, kind := range kinds {
			if !slices.Contains(finding.Kinds, kind) {
				finding.Kinds = append(finding.Kinds, kind)
			}
		}
	}
	return finding, nil
}

func addHeaders(tx types.Transaction, r *Request) {
	for name, values := range r.Header {
		if name == "X-Request-Id" || name == "X-Request-Start" { // the server's own
			continue
		}
		for _, value := range values {
			tx.AddRequestHeader(name, value)
		}
	}
	for _, coding := range r.TransferEncoding {
		tx.AddRequestHeader("Transfer-Encoding", coding)
	}
	if r.Host != "" {
		tx.AddRequestHeader("Host", r.Host)
		tx.SetServerName(r.Host)
	}
}

func inspectBody(tx types.Transaction, body []byte) error {
	if len(body) > 0 {
		if _, _, err := tx.WriteRequestBody(body); err != nil {
			return fmt.Errorf("looking into a body: %w", err)
		}
	}
	_, err := tx.ProcessRequestBody() // does nothing where it has been done
	return err
}

// attacks returns the kinds of attack that a rule looks for.
func attacks(tags []string) (kinds []string) {
	for _, tag := range tags {
		if kind, ok := strings.CutPrefix(tag, "attack-"); ok {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}
