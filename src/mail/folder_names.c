/* folder_names.c - what a folder is for: by its attribute, or by its name in many languages.
 *
 * The table holds names as programs write them; a name is compared letter by letter with case,
 * accents and the kind of dash or blank put aside, so that composed and decomposed Unicode (NFC,
 * NFD), "Sent-Mail" and "sent mail", and names typed without accents are the same. Words that
 * people use for folders of their own ("Werbung", "Basura", "Outbox") are left out on purpose:
 * mail that lands in Junk or Trash may be deleted there by the server. Sources: doc/mail.md. */
#include <string.h>

#include "mail/folder.h"
#include "mail/utf8_private.h"

#include "base/banned.h"

static const struct {
	const char *attr;
	enum special_use use;
} attributes[] = {
	{ "INBOX", USE_INBOX }, /* XLIST */
	{ "All", USE_ALL },
	{ "AllMail", USE_ALL }, /* XLIST */
	{ "Archive", USE_ARCHIVE },
	{ "Drafts", USE_DRAFTS },
	{ "Flagged", USE_FLAGGED },
	{ "Starred", USE_FLAGGED }, /* XLIST */
	{ "Important", USE_IMPORTANT },
	{ "Junk", USE_JUNK },
	{ "Spam", USE_JUNK }, /* XLIST */
	{ "Sent", USE_SENT },
	{ "Trash", USE_TRASH },
};

enum special_use
special_use_by_attr(const char *attr)
{
	size_t i;

	if (*attr == '\\')
		attr++;
	for (i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++)
		if (text_ieq(attr, attributes[i].attr))
			return attributes[i].use;
	return USE_NONE;
}

const char *
special_use_name(enum special_use use)
{
	size_t i;

	for (i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++)
		if (attributes[i].use == use)
			return attributes[i].attr;
	return "";
}

/* clang-format off */
static const struct {
	enum special_use use;
	const char *names; /* separated by '|' */
} names[] = {
	/* English */
	{ USE_SENT, "Sent|Sent Items|Sent Mail|Sent Mails|Sent Messages|Sent Email|Sent E-Mail|SentMail" },
	{ USE_DRAFTS, "Drafts|Draft|Draft Messages" },
	{ USE_TRASH, "Trash|Deleted Items|Deleted Messages|Deleted Mail|Deleted|Bin|Wastebasket" },
	{ USE_JUNK, "Junk|Junk E-Mail|Junk Email|Junk Mail|Junk Items|Spam|Bulk Mail" },
	{ USE_ARCHIVE, "Archive|Archives|Archived" },
	/* German */
	{ USE_SENT, "Gesendet|Gesendete|Gesendete Elemente|Gesendete Objekte|Gesendete Nachrichten|"
		"Gesendete E-Mails|Gesendete Mails" },
	{ USE_DRAFTS, "Entwürfe|Entwuerfe|Entwurf" },
	{ USE_TRASH, "Papierkorb|Gelöschte Elemente|Gelöschte Objekte|Gelöschte Nachrichten|"
		"Gelöschte E-Mails|Gelöscht|Geloeschte Elemente|Geloeschte Objekte" },
	{ USE_JUNK, "Junk-E-Mails|Spamverdacht|Unerwünschte E-Mails|Unerwünschte E-Mail|Unerwünscht" },
	{ USE_ARCHIVE, "Archiv|Archiviert" },
	/* French */
	{ USE_SENT, "Envoyés|Envoyé|Éléments envoyés|Messages envoyés|Courrier envoyé|Courriels envoyés|"
		"Mails envoyés|E-mails envoyés|Objets envoyés" },
	{ USE_DRAFTS, "Brouillons|Brouillon" },
	{ USE_TRASH, "Corbeille|Poubelle|Éléments supprimés|Messages supprimés|Objets supprimés|Supprimés" },
	{ USE_JUNK, "Courrier indésirable|Courriel indésirable|Messages indésirables|Indésirables|"
		"Indésirable|Pourriel|Pourriels" },
	/* Spanish */
	{ USE_SENT, "Enviados|Enviado|Elementos enviados|Mensajes enviados|Correo enviado|Correos enviados" },
	{ USE_DRAFTS, "Borradores|Borrador" },
	{ USE_TRASH, "Papelera|Papelera de reciclaje|Elementos eliminados|Mensajes eliminados|Eliminados" },
	{ USE_JUNK, "Correo no deseado|Correo electrónico no deseado|Correo basura|No deseado|No deseados" },
	{ USE_ARCHIVE, "Archivo|Archivados" },
	/* Italian */
	{ USE_SENT, "Inviati|Inviata|Posta inviata|Messaggi inviati|Elementi inviati" },
	{ USE_DRAFTS, "Bozze|Bozza" },
	{ USE_TRASH, "Cestino|Posta eliminata|Elementi eliminati|Messaggi eliminati|Eliminati" },
	{ USE_JUNK, "Posta indesiderata|Messaggi indesiderati|Indesiderata|Indesiderati" },
	{ USE_ARCHIVE, "Archivio" },
	/* Portuguese, of Portugal and of Brazil */
	{ USE_SENT, "Enviadas|Itens enviados|Mensagens enviadas|Correio enviado|E-mails enviados" },
	{ USE_DRAFTS, "Rascunhos|Rascunho" },
	{ USE_TRASH, "Lixeira|Lixo|Reciclagem|Itens excluídos|Itens eliminados|Mensagens excluídas|"
		"Mensagens eliminadas|Excluídos" },
	{ USE_JUNK, "Lixo eletrônico|Lixo electrónico|E-mail de lixo|Correio não solicitado|"
		"Correio eletrónico não solicitado|Correio electrónico não solicitado" },
	{ USE_ARCHIVE, "Arquivo|Arquivo morto|Arquivados|Arquivadas" },
	/* Dutch */
	{ USE_SENT, "Verzonden|Verzonden items|Verzonden berichten|Verzonden e-mail|Verzonden post" },
	{ USE_DRAFTS, "Concepten|Concept" },
	{ USE_TRASH, "Prullenbak|Prullenmand|Verwijderde items|Verwijderde berichten|Verwijderd" },
	{ USE_JUNK, "Ongewenste e-mail|Ongewenste mail|Ongewenste berichten|Ongewenst" },
	{ USE_ARCHIVE, "Archief|Archieven" },
	/* Polish */
	{ USE_SENT, "Wysłane|Elementy wysłane|Wiadomości wysłane|Wysłane wiadomości|Wysłane elementy" },
	{ USE_DRAFTS, "Wersje robocze|Kopie robocze|Robocze|Szkice" },
	{ USE_TRASH, "Kosz|Elementy usunięte|Usunięte elementy|Wiadomości usunięte|Usunięte wiadomości|"
		"Usunięte" },
	{ USE_JUNK, "Wiadomości-śmieci|Niechciana poczta|Niechciane|Niechciane wiadomości" },
	{ USE_ARCHIVE, "Archiwum|Archiwa|Zarchiwizowane" },
	/* Czech and Slovak */
	{ USE_SENT, "Odeslaná pošta|Odeslané|Odeslaná|Odeslané zprávy|Odeslané položky|"
		"Odoslaná pošta|Odoslané|Odoslané správy|Odoslané položky" },
	{ USE_DRAFTS, "Koncepty|Koncept|Rozepsané|Rozepsané zprávy|Rozpísané" },
	{ USE_TRASH, "Koš|Odstraněná pošta|Odstraněné|Odstraněné zprávy|Odstraněné položky|Smazané|"
		"Smazaná pošta|Smazané zprávy|Odstránené správy" },
	{ USE_JUNK, "Nevyžádaná pošta|Nevyžádané|Nevyžádaná|Nevyžiadaná pošta|Nevyžiadané" },
	{ USE_ARCHIVE, "Archivy" },
	/* Russian and Ukrainian */
	{ USE_SENT, "Отправленные|Отправлено|Отправленная почта|Отправленные сообщения|Отправленные письма|"
		"Надіслані|Надіслане|Відправлені|Відправлене" },
	{ USE_DRAFTS, "Черновики|Черновик|Чернетки|Чернетка" },
	{ USE_TRASH, "Корзина|Удалённые|Удалённые сообщения|Удалённые элементы|Удалённые письма|"
		"Кошик|Видалені|Видалене" },
	{ USE_JUNK, "Спам|Нежелательная почта|Нежелательные|Нежелательные сообщения|Небажана пошта|Небажані" },
	{ USE_ARCHIVE, "Архив|Архивы|Архів|Архіви" },
	/* Swedish, Danish, Norwegian, Finnish */
	{ USE_SENT, "Skickat|Skickade|Skickade objekt|Skickade meddelanden|Sendt|Sendte elementer|"
		"Sendt post|Sendt e-post|Lähetetyt|Lähetetyt viestit" },
	{ USE_DRAFTS, "Utkast|Kladder|Kladde|Udkast|Luonnokset" },
	{ USE_TRASH, "Papperskorgen|Papperskorg|Borttaget|Borttagna objekt|Papirkurv|Slettet post|"
		"Slettede elementer|Slettet|Søppelkurv|Roskakori|Poistetut|Poistetut kohteet" },
	{ USE_JUNK, "Skräppost|Uønsket mail|Uønsket e-mail|Uønsket post|Uønsket e-post|Søppelpost|"
		"Roskaposti" },
	{ USE_ARCHIVE, "Arkiv|Arkiverat|Arkisto" },
	/* Hungarian, Romanian, Turkish */
	{ USE_SENT, "Elküldött|Elküldött elemek|Elküldött üzenetek|Elküldött levelek|Trimise|"
		"Mesaje trimise|Elemente trimise|Gönderilmiş Öğeler|Gönderilenler|Gönderilmiş Postalar" },
	{ USE_DRAFTS, "Piszkozatok|Vázlatok|Ciorne|Schițe|Taslaklar" },
	{ USE_TRASH, "Kuka|Lomtár|Törölt elemek|Törölt üzenetek|Gunoi|Coș de gunoi|Elemente șterse|"
		"Çöp Kutusu|Çöp|Silinmiş Öğeler" },
	{ USE_JUNK, "Levélszemét|Önemsiz E-posta|Gereksiz E-posta|Önemsiz|Gereksiz" },
	{ USE_ARCHIVE, "Archívum|Arhivă|Arşiv" },
	/* Japanese (voiced kana composed and decomposed) and Chinese */
	{ USE_SENT, "送信済みアイテム|送信済みメール|送信済みトレイ|送信済み|已发送邮件|已发送|寄件備份" },
	{ USE_DRAFTS, "下書き|草稿|草稿箱" },
	{ USE_TRASH, "ごみ箱|ごみ箱|ゴミ箱|ゴミ箱|削除済みアイテム|已删除邮件|已删除|刪除的郵件" },
	{ USE_JUNK, "迷惑メール|垃圾邮件|垃圾郵件" },
	{ USE_ARCHIVE, "アーカイブ|アーカイブ|存档" },
};
/* clang-format on */

/* Letters U+00C0..U+00FF and U+0100..U+017F without their marks; '?' stays what it is. */
static const char latin1_base[] = "aaaaaa?ceeeeiiiidnooooo?ouuuuy??";
static const char latin_a_base[] = "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiii??jjkkk"
				   "llllllllllnnnnnnnnnoooooo??rrrrrrssssssssttttttuuuuuuuuuuuu"
				   "wwyyyzzzzzzs";

static uint32_t
fold_cyrillic(uint32_t c)
{
	if (c >= 0x410 && c <= 0x42f)
		c += 0x20;
	else if (c <= 0x40f)
		c += 0x50;
	switch (c) {
	case 0x439: /* short i */
		return 0x438;
	case 0x451: /* yo */
		return 0x435;
	case 0x457: /* yi */
		return 0x456;
	}
	return c;
}

/* The letter without case and mark; 0 for a mark, which is passed over. */
static uint32_t
fold(uint32_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c + ('a' - 'A');
	if (c == '-' || c == '_' || c == 0xa0 || (c >= 0x2010 && c <= 0x2015))
		return ' ';
	if (c >= 0xc0 && c <= 0xff && latin1_base[(c - 0xc0) & 0x1f] != '?')
		return (unsigned char)latin1_base[(c - 0xc0) & 0x1f];
	if (c >= 0x100 && c <= 0x17f && latin_a_base[c - 0x100] != '?')
		return (unsigned char)latin_a_base[c - 0x100];
	if (c == 0x218 || c == 0x219)
		return 's';
	if (c == 0x21a || c == 0x21b)
		return 't';
	if (c >= 0x300 && c <= 0x36f)
		return 0;
	if (c >= 0x400 && c <= 0x45f)
		return fold_cyrillic(c);
	return c;
}

/* The next letter of the text, folded; 0 at its end. */
static uint32_t
next_letter(const unsigned char **p, const unsigned char *end)
{
	uint32_t c = 0;

	while (*p < end && c == 0) {
		size_t len = utf8_read(*p, end, &c);

		if (len == 0) { /* no letter of any name */
			len = 1;
			c = 0xfffd;
		}
		*p += len;
		c = fold(c);
	}
	return c;
}

static bool
same_name(const char *a, size_t a_len, const char *b, size_t b_len)
{
	const unsigned char *p = (const unsigned char *)a, *p_end = p + a_len;
	const unsigned char *q = (const unsigned char *)b, *q_end = q + b_len;
	uint32_t c;

	do {
		c = next_letter(&p, p_end);
		if (c != next_letter(&q, q_end))
			return false;
	} while (c != 0);
	return true;
}

enum special_use
special_use_by_name(const char *name)
{
	size_t name_len = strlen(name), i;

	for (i = 0; name_len > 0 && i < sizeof(names) / sizeof(names[0]); i++) {
		const char *p = names[i].names;

		while (*p != '\0') {
			size_t len = strcspn(p, "|");

			if (same_name(p, len, name, name_len))
				return names[i].use;
			p += len;
			p += *p == '|';
		}
	}
	return USE_NONE;
}
