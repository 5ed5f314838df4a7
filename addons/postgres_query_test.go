package addons_test

import (
	"strings"
	"testing"

	"github.com/abilian/hop3/addons"
	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/services/servicestest"
)

// What a database answers with does not take the server's memory.
func TestPostgresQueryOfALargeRow(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	server := servicestest.Server(t, nil)
	server.Runs = unsafeServices{server.Runs}
	p := new(addons.Postgres)
	if err := p.Open(server); err != nil {
		t.Fatal(err)
	}
	a := hop3.Addon{Type: "postgres", Name: "db"}
	var err error
	if a.Details, err = p.Plan(t.Context(), a); err == nil {
		err = p.Create(t.Context(), a)
	}
	if err != nil {
		t.Fatal(err)
	}
	query := p.Actions()[0]
	if _, err := query.Run(t.Context(), a, []string{"SELECT repeat('x', 32 * 1024 * 1024)"}); hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "more than 16 MiB") {
		t.Errorf("%v", err)
	}
	report, err := query.Run(t.Context(), a, []string{"SELECT length(repeat('x', 32 * 1024 * 1024))"})
	if err != nil || len(report.Rows) != 1 || report.Rows[0][0] != "33554432" {
		t.Errorf("%v, %v", report, err)
	}
}
