// What users of heroku-go write at api.heroku.com, and with its help the Terraform provider: argv is a token and an archive.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	heroku "github.com/heroku/heroku-go/v5"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Output(2, err.Error())
		os.Exit(1)
	}
	return value
}

func check(holds bool, told ...any) {
	if !holds {
		log.Output(2, fmt.Sprint(told...))
		os.Exit(1)
	}
}

func main() {
	log.SetFlags(log.Lshortfile)
	ctx, token, archive := context.Background(), os.Args[1], os.Args[2]
	h := heroku.NewService(&http.Client{Transport: &heroku.Transport{BearerToken: token}})
	check(must(h.AccountInfo(ctx)).Email == "admin@localhost")

	// As the provider makes an app: its parts one by one, each read back.
	app := must(h.AppCreate(ctx, heroku.AppCreateOpts{Name: heroku.String("gopher"), Stack: heroku.String("heroku-24"), Region: heroku.String("us")}))
	check(app.Name == "gopher" && app.Stack.Name == "heroku-24", app)
	must(h.ConfigVarUpdate(ctx, app.ID, map[string]*string{"COLOUR": heroku.String("blue"), "SIZE": heroku.String("1")}))
	must(h.ConfigVarUpdate(ctx, app.ID, map[string]*string{"SIZE": nil}))
	config := must(h.ConfigVarInfoForApp(ctx, app.ID))
	check(len(config) == 1 && *config["COLOUR"] == "blue", config)
	feature := must(h.AppFeatureUpdate(ctx, app.ID, "runtime-dyno-metadata", heroku.AppFeatureUpdateOpts{Enabled: true}))
	check(feature.Enabled && len(must(h.AppFeatureList(ctx, app.ID, &heroku.ListRange{Field: "name", Max: 1000}))) > 2, feature)
	must(h.BuildpackInstallationUpdate(ctx, app.ID, heroku.BuildpackInstallationUpdateOpts{}))
	check(len(must(h.BuildpackInstallationList(ctx, app.ID, nil))) == 0)
	must(h.AppUpdate(ctx, app.ID, heroku.AppUpdateOpts{Maintenance: heroku.Bool(true)}))
	check(must(h.AppInfo(ctx, app.ID)).Maintenance)
	must(h.AppUpdate(ctx, app.ID, heroku.AppUpdateOpts{Maintenance: heroku.Bool(false)}))

	// A build, as it waits for one.
	opts := heroku.BuildCreateOpts{}
	opts.SourceBlob.URL, opts.SourceBlob.Version = &archive, heroku.String("v1")
	build := must(h.BuildCreate(ctx, app.ID, opts))
	for build.Status == "pending" {
		time.Sleep(100 * time.Millisecond)
		build = must(h.BuildInfo(ctx, app.ID, build.ID))
	}
	check(build.Status == "succeeded" && build.Release != nil && build.Slug != nil, build)
	slug := must(h.SlugInfo(ctx, app.ID, build.Slug.ID))
	check(slug.ProcessTypes["web"] != "", slug)
	formation := must(h.FormationUpdate(ctx, app.ID, "web", heroku.FormationUpdateOpts{Quantity: heroku.Int(1), Size: heroku.String("standard-1x")}))
	check(formation.Quantity == 1 && formation.Type == "web", formation)
	releases := must(h.ReleaseList(ctx, app.ID, &heroku.ListRange{Field: "version", Max: 1, Descending: true}))
	check(len(releases) == 1 && releases[0].ID == build.Release.ID, releases)
	check(must(h.DynoCreate(ctx, app.ID, heroku.DynoCreateOpts{Command: "true"})).Type == "run")

	// What else stands around an app.
	domain := must(h.DomainCreate(ctx, app.ID, heroku.DomainCreateOpts{Hostname: "gopher.example.com"}))
	check(len(must(h.DomainList(ctx, app.ID, &heroku.ListRange{Field: "hostname", Descending: true, Max: 1000}))) == 2, domain)
	must(h.DomainDelete(ctx, app.ID, domain.ID))
	check(len(must(h.CollaboratorList(ctx, app.ID, nil))) == 1)
	check(len(must(h.AddOnListByApp(ctx, app.ID, nil))) == 0 && len(must(h.PipelineList(ctx, nil))) == 0)
	authorization := must(h.OAuthAuthorizationCreate(ctx, heroku.OAuthAuthorizationCreateOpts{Scope: []string{"read"}}))
	must(h.OAuthAuthorizationDelete(ctx, authorization.ID))
	team := must(h.TeamCreate(ctx, heroku.TeamCreateOpts{Name: "burrow"}))
	owned := must(h.TeamAppCreate(ctx, heroku.TeamAppCreateOpts{Name: heroku.String("mole"), Team: &team.Name}))
	check(owned.Team != nil && owned.Team.Name == "burrow", owned)
	must(h.AppDelete(ctx, owned.ID))
	must(h.AppDelete(ctx, app.ID))
	_, err := h.AppInfo(ctx, app.ID)
	check(err != nil && strings.HasSuffix(err.Error(), "Couldn't find that app."), err)
	fmt.Println("heroku-go has done everything")
}
