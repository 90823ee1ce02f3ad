/* What libxml2's own programs do not reach: each subcommand is one small use of the library. */
#include <libxml/HTMLtree.h>
#include <libxml/catalog.h>
#include <libxml/hash.h>
#include <libxml/parser.h>
#include <libxml/valid.h>
#include <libxml/xmlwriter.h>
#include <libxml/xpath.h>
#include <libxml/xpathInternals.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int depth;

static void show(const char *what, const xmlChar *text) {
    printf("%s: %s\n", what, text == NULL ? "(none)" : (const char *)text);
}

/* XPath: a function that evaluates an expression which calls the function again. */
static void again(xmlXPathParserContextPtr parser, int count) {
    (void)count;
    xmlXPathObjectPtr result = NULL;
    if (++depth < 1000000)
        result = xmlXPathEval(BAD_CAST "again()", parser->context);
    valuePush(parser, result != NULL ? result : xmlXPathNewFloat(depth));
}

static void xpath_recursion(void) {
    xmlDocPtr doc = xmlReadMemory("<a/>", 4, "a", NULL, 0);
    xmlXPathContextPtr context = xmlXPathNewContext(doc);
    xmlXPathRegisterFunc(context, BAD_CAST "again", again);
    xmlXPathObjectPtr result = xmlXPathEvalExpression(BAD_CAST "again()", context);
    printf("%s after %d rounds\n", result == NULL ? "stopped" : "went on", depth);
    xmlXPathFreeObject(result);
    xmlXPathFreeContext(context);
    xmlFreeDoc(doc);
}

/* XPath: the same objects in many ways, through every entrance. */
static void xpath_entrances(const char *file) {
    const char *expressions[] = {
        "count(//*)", "//*[position() = last()]", "//*[2]/@*", "string(//*[1])", "1 +", "//a[",
        "(//*)[true()]", "//*[. = //*]", "id('x')", "sum(//@*) div 0", "ancestor::*/following::*",
        "//*[position() mod 2 = 1][3]", "a|b|//c", "-(-(-(1)))", "//node()[not(self::*)]",
        "/*/*", "//*//*[@*]", "$v", "f()", "string-length(normalize-space(/))",
    };
    xmlDocPtr doc = xmlReadFile(file, NULL, 0);
    xmlXPathContextPtr context = xmlXPathNewContext(doc);
    for (size_t i = 0; i < sizeof expressions / sizeof *expressions; i++) {
        const xmlChar *text = BAD_CAST expressions[i];
        xmlXPathObjectPtr found = xmlXPathEvalExpression(text, context);
        xmlXPathDebugDumpObject(stdout, found, 0);
        if (found != NULL) {
            xmlXPathParserContextPtr parser = xmlXPathNewParserContext(text, context);
            printf("predicate %d", xmlXPathEvalPredicate(context, found));
            printf(" %d\n", xmlXPathEvaluatePredicateResult(parser, found));
            xmlXPathEvalExpr(parser);
            xmlXPathFreeParserContext(parser);
        }
        xmlXPathCompExprPtr compiled = xmlXPathCtxtCompile(context, text);
        if (compiled != NULL)
            printf("boolean %d\n", xmlXPathCompiledEvalToBoolean(compiled, context));
        xmlXPathFreeCompExpr(compiled);
        xmlXPathFreeObject(found);
    }
    xmlXPathFreeContext(context);
    xmlFreeDoc(doc);
}

static void writer(void) {
    xmlBufferPtr buffer = xmlBufferCreate();
    xmlTextWriterPtr out = buffer == NULL ? NULL : xmlNewTextWriterMemory(buffer, 0);
    if (out != NULL) {
        printf("%d ", xmlTextWriterStartDocument(out, NULL, "UTF-8", NULL));
        printf("%d ", xmlTextWriterStartElementNS(out, BAD_CAST "p", BAD_CAST "e", BAD_CAST "u:1"));
        printf("%d ", xmlTextWriterWriteAttributeNS(out, BAD_CAST "q", BAD_CAST "a",
                                                    BAD_CAST "u:2", BAD_CAST "v"));
        printf("%d ", xmlTextWriterWriteAttributeNS(out, BAD_CAST "q", BAD_CAST "b",
                                                    BAD_CAST "u:2", BAD_CAST "w"));
        printf("%d ", xmlTextWriterWriteAttributeNS(out, BAD_CAST "q", BAD_CAST "c",
                                                    BAD_CAST "u:3", BAD_CAST "x"));
        printf("%d ", xmlTextWriterStartElementNS(out, NULL, BAD_CAST "f", BAD_CAST "u:4"));
        printf("%d\n", xmlTextWriterEndDocument(out));
    }
    xmlFreeTextWriter(out);
    if (buffer != NULL)
        show("written", xmlBufferContent(buffer));
    xmlBufferFree(buffer);
}

static void fragments(const char *file) {
    const char *pieces[] = {"<x>&e;</x>", "<x>", "text", "<a/><b c='d'/>", "&none;", "<x xmlns='u'/>"};
    xmlDocPtr doc = xmlReadFile(file, NULL, XML_PARSE_DTDLOAD);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        xmlNodePtr list = NULL, other = NULL, inside = NULL;
        int length = (int)strlen(pieces[i]);
        printf("%d ", xmlParseBalancedChunkMemory(doc, NULL, NULL, 0, BAD_CAST pieces[i], &list));
        printf("%d ", xmlParseBalancedChunkMemoryRecover(doc, NULL, NULL, 0, BAD_CAST pieces[i],
                                                         &other, 1));
        printf("%d\n", xmlParseInNodeContext(xmlDocGetRootElement(doc), pieces[i], length, 0, &inside));
        for (xmlNodePtr node = list; node != NULL; node = node->next)
            show("node", node->name);
        xmlFreeNodeList(list);
        xmlFreeNodeList(other);
        xmlFreeNodeList(inside);
    }
    xmlFreeDoc(doc);
}

static void dtd(const char *file) {
    xmlDtdPtr parsed = xmlParseDTD(BAD_CAST "-//x//EN", BAD_CAST file);
    xmlDtdPtr sax = xmlSAXParseDTD(NULL, NULL, BAD_CAST file);
    xmlParserInputBufferPtr input = xmlParserInputBufferCreateFilename(file, XML_CHAR_ENCODING_NONE);
    xmlDtdPtr io = input == NULL ? NULL : xmlIOParseDTD(NULL, input, XML_CHAR_ENCODING_NONE);
    xmlDtdPtr all[] = {parsed, sax, io};
    for (int i = 0; i < 3; i++) {
        xmlBufferPtr buffer = xmlBufferCreate();
        if (all[i] != NULL)
            xmlNodeDump(buffer, NULL, (xmlNodePtr)all[i], 0, 0);
        show("dtd", xmlBufferContent(buffer));
        xmlBufferFree(buffer);
        xmlFreeDtd(all[i]);
    }
}

static void attributes(xmlDocPtr doc, xmlNodePtr node) {
    for (; node != NULL; node = node->next) {
        if (node->type != XML_ELEMENT_NODE)
            continue;
        for (xmlAttrPtr a = node->properties; a != NULL; a = a->next) {
            xmlValidCtxtPtr valid = xmlNewValidCtxt();
            xmlChar *value = xmlNodeGetContent((xmlNodePtr)a);
            xmlChar *plain = xmlValidNormalizeAttributeValue(doc, node, a->name, value);
            xmlChar *checked = xmlValidCtxtNormalizeAttributeValue(valid, doc, node, a->name, value);
            printf("%s/%s id %d ref %d type %d valid %d\n", node->name, a->name, xmlIsID(doc, node, a),
                   xmlIsRef(doc, node, a), a->atype,
                   xmlValidateOneAttribute(valid, doc, node, a, value));
            show("normal", plain);
            show("checked", checked);
            xmlFree(value);
            xmlFree(plain);
            xmlFree(checked);
            xmlFreeValidCtxt(valid);
        }
        for (xmlNsPtr ns = node->nsDef; ns != NULL; ns = ns->next) {
            xmlValidCtxtPtr valid = xmlNewValidCtxt();
            printf("namespace %d\n",
                   xmlValidateOneNamespace(valid, doc, node, node->ns ? node->ns->prefix : NULL, ns,
                                           ns->href));
            xmlFreeValidCtxt(valid);
        }
        const xmlChar *names[16];
        printf("elements here %d\n", xmlValidGetValidElements(node->children, NULL, names, 16));
        attributes(doc, node->children);
    }
}

static void validity(const char *file) {
    xmlDocPtr doc = xmlReadFile(file, NULL, XML_PARSE_DTDLOAD | XML_PARSE_DTDATTR);
    xmlValidCtxtPtr valid = xmlNewValidCtxt();
    printf("properties %d document %d\n", doc->properties, xmlValidateDocument(valid, doc));
    attributes(doc, xmlDocGetRootElement(doc));
    xmlFreeValidCtxt(valid);
    xmlFreeDoc(doc);
}

/* Declared attributes of an element that is no longer declared. */
static void orphans(const char *file) {
    xmlDocPtr doc = xmlReadFile(file, NULL, 0);
    xmlValidCtxtPtr valid = xmlNewValidCtxt();
    const char *names[] = {"id", "kind", "ref", "shape"};
    xmlHashRemoveEntry((xmlHashTablePtr)doc->intSubset->elements, BAD_CAST "item", NULL);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        xmlAttributePtr a = xmlGetDtdAttrDesc(doc->intSubset, BAD_CAST "item", BAD_CAST names[i]);
        printf("%s %d\n", names[i], xmlValidateAttributeDecl(valid, doc, a));
    }
    xmlFreeValidCtxt(valid);
    xmlFreeDoc(doc);
}

static void html(void) {
    htmlDocPtr doc = htmlNewDoc(BAD_CAST "s", BAD_CAST "-//x//EN");
    htmlDocPtr bare = htmlNewDocNoDtD(NULL, NULL);
    printf("properties %d %d\n", doc->properties, bare->properties);
    xmlFreeDoc(doc);
    xmlFreeDoc(bare);
}

static void catalogue(const char *file, char **names) {
    xmlCatalogPtr own = xmlLoadACatalog(file);
    xmlCatalogPtr super = xmlLoadSGMLSuperCatalog(file);
    printf("own %d super %d loaded %d\n", own != NULL, super != NULL, xmlLoadCatalog(file));
    for (; *names != NULL; names++) {
        xmlChar *found[] = {
            xmlACatalogResolvePublic(own, BAD_CAST *names),
            xmlACatalogResolveSystem(own, BAD_CAST *names),
            xmlACatalogResolveURI(own, BAD_CAST *names),
            xmlCatalogResolveURI(BAD_CAST *names),
            xmlACatalogResolve(super, BAD_CAST *names, BAD_CAST *names),
        };
        for (size_t i = 0; i < sizeof found / sizeof *found; i++) {
            show(*names, found[i]);
            xmlFree(found[i]);
        }
    }
    xmlACatalogDump(own, stdout);
    xmlCatalogDump(stdout);
    xmlConvertSGMLCatalog(own);
    xmlFreeCatalog(own);
    xmlFreeCatalog(super);
    xmlCatalogCleanup();
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    const char *file = argc > 2 ? argv[2] : "";
    if (strcmp(what, "xpath-recursion") == 0)
        xpath_recursion();
    else if (strcmp(what, "xpath") == 0)
        xpath_entrances(file);
    else if (strcmp(what, "writer") == 0)
        writer();
    else if (strcmp(what, "fragments") == 0)
        fragments(file);
    else if (strcmp(what, "dtd") == 0)
        dtd(file);
    else if (strcmp(what, "validity") == 0)
        validity(file);
    else if (strcmp(what, "orphans") == 0)
        orphans(file);
    else if (strcmp(what, "html") == 0)
        html();
    else if (strcmp(what, "catalogue") == 0)
        catalogue(file, argv + 3);
    else
        return 2;
    xmlCleanupParser();
    return 0;
}
